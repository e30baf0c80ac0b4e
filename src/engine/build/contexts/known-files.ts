// What is known of a client's folder from earlier builds: each file as the client last described
// it, with the digest of its content and the place of its bytes in the pack. On disk one file, in
// columns, written anew and renamed, after the bytes that it speaks of are on the disk: what a
// crash leaves half done is never spoken of.

import { GantryError } from "../../../base/index.ts";
import type { FileNode } from "./file-tree.ts";

export interface KnownFile {
  node: FileNode;
  /** When a client last had it. */
  seenAtMs: number;
}
export interface KnownFiles {
  files: Map<string, KnownFile>;
  /** The number of the pack that they are in. */
  packNumber: number;
  packEnd: number;
}

const VERSION = 1;

interface Stored {
  version: number;
  packNumber: number;
  packEnd: number;
  paths: string[];
  sizes: number[];
  offsets: number[];
  modes: number[];
  owners: Record<number, [uid: number, gid: number]>;
  xattrs: Record<number, [string, string][]>;
  mtimes: string[];
  seen: number[];
  /** Of one length each, one after another. */
  digests: string;
}
const DIGEST_DIGITS = 64;

/** Only regular files with content: of the others a client says everything each time. */
export function encodeKnown({ files, packNumber, packEnd }: KnownFiles): Buffer {
  const stored: Stored = {
    ...{ version: VERSION, packNumber, packEnd, paths: [], sizes: [], offsets: [], modes: [] },
    ...{ owners: {}, xattrs: {}, mtimes: [], seen: [], digests: "" },
  };
  const digests: string[] = [];
  for (const [path, { node, seenAtMs }] of files) {
    const at = stored.paths.push(path) - 1;
    stored.sizes.push(node.size);
    stored.offsets.push(node.offset);
    stored.modes.push(node.mode);
    stored.mtimes.push(node.mtimeNs.toString(36));
    stored.seen.push(Math.round(seenAtMs / 1000));
    digests.push(node.digest);
    if (node.uid !== 0 || node.gid !== 0) stored.owners[at] = [node.uid, node.gid];
    if (node.xattrs.length > 0) {
      stored.xattrs[at] = node.xattrs.map(([key, value]) => [key, value.toString("base64")]);
    }
  }
  stored.digests = digests.join("");
  return Buffer.from(JSON.stringify(stored));
}

/** Throws corrupt. */
export function decodeKnown(bytes: Buffer): KnownFiles {
  let stored: Stored;
  try {
    stored = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new GantryError("corrupt", "the index of a build context is damaged", { cause });
  }
  if (stored.version !== VERSION || stored.digests.length !== stored.paths.length * DIGEST_DIGITS) {
    throw new GantryError("corrupt", "the index of a build context is of another version");
  }
  const files = new Map<string, KnownFile>();
  for (const [at, path] of stored.paths.entries()) {
    const [uid, gid] = stored.owners[at] ?? [0, 0];
    const xattrs = stored.xattrs[at] ?? [];
    const node: FileNode = {
      ...({ type: "0", link: "", major: 0, minor: 0, uid, gid } as const),
      ...{ mode: stored.modes[at]!, size: stored.sizes[at]!, offset: stored.offsets[at]! },
      mtimeNs: fromBase36(stored.mtimes[at]!),
      xattrs: xattrs.map(([key, value]) => [key, Buffer.from(value, "base64")]),
      digest: stored.digests.slice(at * DIGEST_DIGITS, (at + 1) * DIGEST_DIGITS),
    };
    files.set(path, { node, seenAtMs: stored.seen[at]! * 1000 });
  }
  const { packNumber, packEnd } = stored;
  return { files, packNumber, packEnd };
}

function fromBase36(text: string): bigint {
  const digits = text.startsWith("-") ? text.slice(1) : text;
  let value = 0n;
  for (let at = 0; at < digits.length; at += 8) {
    const part = digits.slice(at, at + 8);
    value = value * 36n ** BigInt(part.length) + BigInt(Number.parseInt(part, 36));
  }
  return text.startsWith("-") ? -value : value;
}
