// A context as COPY reads it: everything but the bytes comes from the index, the bytes from ranges
// of its pack, in the order of the index, which is mostly the order in which they stand.

import { basename, dirname, relative } from "node:path/posix";
import { Readable } from "node:stream";
import { GantryError } from "../../../base/index.ts";
import type { CopyPath } from "../../../build/index.ts";
import { notFound } from "../copy-words.ts";
import type { Excludes, Item, SourceFiles } from "../source-files.ts";
import type { TarFile, TarSink } from "../tar-scanner.ts";
import { contentEnd, fileHeader, tarEnd } from "../tar-writer.ts";
import type { FileNode, FileTree } from "./file-tree.ts";
import { matchPaths } from "./match-paths.ts";
import type { Pack } from "./pack.ts";

const FLUSH_BYTES = 256 * 1024;
const NANOSECONDS = 1_000_000_000n;

/** A context that is there: its files stand still. */
export interface IndexedContext {
  tree: FileTree;
  /** Absent: no file has any bytes. */
  pack?: Pack | undefined;
  /** What .dockerignore left out, where that is known: for a better message. */
  ignored?: (path: string) => boolean;
}

export class IndexFiles implements SourceFiles {
  readonly #context: IndexedContext;

  constructor(context: IndexedContext) {
    this.#context = context;
  }

  get digests(): Map<string, string> {
    return this.#context.tree.digests;
  }

  async find({ path, pattern, written }: CopyPath): Promise<Item[]> {
    const { tree } = this.#context;
    const whole = pattern === undefined ? path : `${path}/${pattern}`;
    const isPattern = /[*?[\\]/.test(whole);
    const found = isPattern ? matchPaths(tree, whole) : [whole];
    return found.map((at) => {
      const file = tree.find(at, { follow: true });
      if (file === undefined) throw this.#missing(at, written);
      const into = pattern === undefined ? "" : relative(path, dirname(at));
      return { path: file.path, isFolder: file.node.type === "5", name: basename(at), into };
    });
  }

  #missing(path: string, written: string): GantryError {
    const { tree, ignored } = this.#context;
    return notFound(written, {
      name: basename(path),
      ignored: ignored?.(path.replace(/^\/+/, "")) ?? false,
      siblings: namesIn(tree, dirname(path)),
      elsewhere: () => sameName(tree, basename(path)),
    });
  }

  async *list(item: Item, excludes: Excludes): AsyncGenerator<readonly [TarFile, string]> {
    for (const [file, node] of this.#files(item, excludes)) {
      yield [file, file.type === "0" ? node.digest : ""];
    }
  }

  async *scan(
    item: Item,
    excludes: Excludes,
    sink: TarSink,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<void> {
    const reader = this.#context.pack?.reader();
    let pending = 0;
    for (const [file, node] of this.#files(item, excludes)) {
      sink.file(file);
      pending += file.size;
      if (file.type === "0" && file.size > 0) {
        if (reader === undefined) throw new GantryError("internal", "a context has no bytes");
        const ready = reader.ready(node.offset, file.size);
        if (ready !== undefined) sink.data(ready);
        else {
          for await (const chunk of reader.read(node.offset, file.size)) {
            sink.data(chunk);
            yield;
          }
        }
      }
      if (pending < FLUSH_BYTES) continue;
      pending = 0;
      signal.throwIfAborted();
      yield;
    }
  }

  content({ path }: Item): Readable {
    const { tree, pack } = this.#context;
    const node = tree.find(path, { follow: false })?.node;
    if (node?.type !== "0") throw new GantryError("invalid", `${path} is not a regular file`);
    const bytes = node.size === 0 || !pack ? [] : pack.reader().read(node.offset, node.size);
    return Readable.from(bytes, { objectMode: false, highWaterMark: FLUSH_BYTES });
  }

  /** A further name of a file that came before is a hard link, as long as both are copied. */
  *#files(item: Item, excludes: Excludes): Generator<readonly [TarFile, FileNode]> {
    const { tree } = this.#context;
    const top = tree.find(item.path, { follow: false })?.node;
    if (top === undefined) throw new GantryError("internal", `no such file: ${item.path}`);
    const links = new Map<FileNode, string>();
    if (item.isFolder || !excludes(item.name)) yield [tarFile("", top), top];
    if (top.type !== "5") return;
    for (const [path, node] of tree.walk(top)) {
      if (excludes(path)) continue;
      const first = node.type === "0" ? links.get(node) : undefined;
      if (first !== undefined) {
        yield [{ ...tarFile(path, node), type: "1", link: first, size: 0, xattrs: [] }, node];
        continue;
      }
      if (node.type === "0") links.set(node, path);
      yield [tarFile(path, node), node];
    }
  }
}

function tarFile(name: string, node: FileNode): TarFile {
  const { type, mode, uid, gid, size, link, major, minor, xattrs, mtimeNs } = node;
  const mtime = timeText(mtimeNs);
  return { name, type, mode, uid, gid, size, link, major, minor, xattrs, mtime };
}

/** A small file, links followed inside; undefined when there is none. */
export async function readIndexed(
  { tree, pack }: IndexedContext,
  path: string,
  { bytesMax, signal }: { bytesMax: number; signal: AbortSignal },
): Promise<Buffer | undefined> {
  const node = tree.find(path, { follow: true })?.node;
  if (node === undefined) return undefined;
  if (node.type !== "0") throw new GantryError("invalid", `${path} is not a regular file`);
  if (node.size > bytesMax) {
    throw new GantryError("invalid", `${path} is larger than ${bytesMax} bytes`);
  }
  const chunks: Buffer[] = [];
  if (node.size > 0 && pack) {
    for await (const chunk of pack.reader().read(node.offset, node.size)) chunks.push(chunk);
  }
  signal.throwIfAborted();
  return Buffer.concat(chunks);
}

/** All of it as a tar, to be unpacked by the native program. */
export function contextTar(context: IndexedContext, o: { signal: AbortSignal }): Readable {
  const item = { path: "/", isFolder: true, name: "", into: "" };
  const tar = tarOf(new IndexFiles(context), item, o);
  return Readable.from(tar, { objectMode: false, highWaterMark: FLUSH_BYTES });
}

async function* tarOf(files: IndexFiles, item: Item, o: { signal: AbortSignal }) {
  const out: Buffer[] = [];
  let size = 0;
  const finish = () => {
    if (size > 0) out.push(contentEnd(size));
    size = 0;
  };
  const sink: TarSink = {
    file(file) {
      finish();
      out.push(fileHeader({ ...file, name: file.name || "." }));
      size = file.type === "0" ? file.size : 0;
    },
    data: (chunk) => out.push(chunk),
  };
  for await (const _ of files.scan(item, () => false, sink, o)) yield Buffer.concat(out.splice(0));
  finish();
  yield Buffer.concat([...out, tarEnd]);
}

/** Seconds, with a fraction where there is one. */
export function timeText(ns: bigint): string {
  const sign = ns < 0n ? "-" : "";
  const value = ns < 0n ? -ns : ns;
  const fraction = value % NANOSECONDS;
  const seconds = `${sign}${value / NANOSECONDS}`;
  if (fraction === 0n) return seconds;
  return `${seconds}.${fraction.toString().padStart(9, "0").replace(/0+$/, "")}`;
}

function namesIn(tree: FileTree, folder: string): string[] {
  try {
    const found = tree.find(folder, { follow: true });
    return found?.node.type === "5" ? tree.names(found.node) : [];
  } catch {
    return [];
  }
}

/** Where else a file of that name is. */
function sameName(tree: FileTree, name: string): string | undefined {
  for (const [path] of tree.walk(tree.root)) {
    if (path.endsWith(name) && (path === name || path.endsWith(`/${name}`))) return path;
  }
  return undefined;
}
