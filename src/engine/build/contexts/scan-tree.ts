// The index of files that are read whole: what the native program writes of a folder, with the
// bytes in a pack. For contexts that come unpacked (a checkout, an odd archive).

import { createHash, type Hash } from "node:crypto";
import type { SourceFiles } from "../source-files.ts";
import type { TarFile } from "../tar-scanner.ts";
import { type FileNode, type FileTree, folderNode } from "./file-tree.ts";
import type { Pack } from "./pack.ts";
import { nanoseconds } from "./tar-indexer.ts";
import { TreeBuilder } from "./tree-builder.ts";

interface ScanOptions {
  signal: AbortSignal;
  /** The folder to read; default: all. */
  path?: string;
  /** Whose the files are; default: whose they were. */
  owner?: { uid: number; gid: number };
  drops?: (path: string) => boolean;
  /** Of files and folders, by kind and what it was. */
  mode?: (type: string, mode: number) => number;
}

export async function indexOf(
  files: SourceFiles,
  pack: Pack,
  { signal, path = "/", owner, drops = () => false, mode }: ScanOptions,
): Promise<FileTree> {
  const builder = new TreeBuilder();
  let current: { node: FileNode; hash: Hash } | undefined;
  let chunks: Buffer[] = [];
  let offset = pack.end;
  const finish = () => {
    if (current) current.node.digest = current.hash.digest("hex");
    current = undefined;
  };
  const sink = {
    file(file: TarFile) {
      finish();
      if (file.name === "") return;
      if (file.type === "1") return builder.link(file.name, file.link);
      const node = nodeOf(file, owner);
      if (mode && file.type !== "2") node.mode = mode(file.type, node.mode);
      builder.add(file.name, node);
      if (node.type !== "0") return;
      node.offset = offset;
      offset += node.size;
      current = { node, hash: createHash("sha256") };
    },
    data(chunk: Buffer) {
      current?.hash.update(chunk);
      chunks.push(chunk);
    },
  };
  const item = { path, isFolder: true, name: "", into: "" };
  for await (const _ of files.scan(item, drops, sink, { signal })) {
    const size = chunks.reduce((sum, { length }) => sum + length, 0);
    await pack.append(chunks, size);
    chunks = [];
  }
  const size = chunks.reduce((sum, { length }) => sum + length, 0);
  await pack.append(chunks, size);
  finish();
  return builder.finish();
}

function nodeOf(file: TarFile, owner: ScanOptions["owner"]): FileNode {
  const { name: _, type, mtime, xattrs, ...facts } = file;
  const own = { ...facts, ...owner, xattrs, mtimeNs: nanoseconds(mtime), offset: 0, digest: "" };
  if (type === "5") return folderNode({ ...own, link: "" });
  return { ...own, type: type as FileNode["type"], size: type === "0" ? file.size : 0 };
}
