// A folder of a client: it says what it has, and only the contents that are not known here are
// asked for. A file is known when kind, mode, owner, size and time are as they were; one that was
// changed just before the client looked might change again within its clock's grain, and is asked
// for once more next time. Extended attributes are the client's machine's (decision 175).

import { GantryError } from "../../../base/index.ts";
import type { ClientFile, ClientFolder } from "../session.ts";
import {
  BLANK_NODE,
  checkedName,
  type FileNode,
  FileTree,
  folderNode,
  pathParts,
} from "./file-tree.ts";
import type { IndexedContext } from "./index-files.ts";
import type { KeptContext } from "./kept-context.ts";
import type { Pack } from "./pack.ts";
import { PackWriter, type WrittenFile } from "./pack-writer.ts";
import { EMPTY_DIGEST } from "./tar-indexer.ts";

const TRANSFERS_MAX = 64;
const FILES_MAX = 10_000_000;
/** Longer than a tick of any kernel's clock. */
const CLOCK_GRAIN_NS = 20_000_000n;
const S_IFMT = 0o170000;
const KINDS: Record<number, FileNode["type"] | "socket"> = {
  32768: "0", // S_IFREG
  16384: "5", // S_IFDIR
  40960: "2", // S_IFLNK
  8192: "3",
  24576: "4",
  4096: "6",
  49152: "socket",
};

export interface SyncOptions {
  /** Names what the client was asked to send. */
  filter: string;
  signal: AbortSignal;
  received?: (bytes: number) => void;
}

/** Reads the folder to its end. The result stays until `release`. */
export async function syncFolder(
  kept: KeptContext,
  folder: ClientFolder,
  options: SyncOptions,
): Promise<IndexedContext & { release: () => Promise<void> }> {
  const { pack, release } = kept.use();
  try {
    const sync = new FolderSync({ kept, pack, folder }, options);
    return { tree: await sync.run(), pack, release };
  } catch (error) {
    await release();
    throw error;
  }
}

class FolderSync {
  readonly #kept: KeptContext;
  readonly #folder: ClientFolder;
  readonly #options: SyncOptions;
  readonly #writer: PackWriter;
  readonly #tree = new FileTree();
  readonly #paths: string[] = [];
  readonly #nodes: FileNode[] = [];
  /** Files whose content is asked for, in this order. */
  readonly #wanted: { path: string; node: FileNode; index: number }[] = [];
  #begun = 0;
  readonly #written: { node: FileNode; written: WrittenFile }[] = [];
  /** What is to be known from now on. */
  readonly #came: { path: string; node: FileNode }[] = [];
  readonly #startNs = BigInt(Date.now()) * 1_000_000n;
  #parentPath = "";
  #parent: FileNode = this.#tree.root;
  #running = 0;
  #wake: (() => void) | undefined;
  #failure: { error: unknown } | undefined;

  constructor(
    { kept, pack, folder }: { kept: KeptContext; pack: Pack; folder: ClientFolder },
    options: SyncOptions,
  ) {
    this.#kept = kept;
    this.#folder = folder;
    this.#options = options;
    this.#writer = new PackWriter(pack);
  }

  async run(): Promise<FileTree> {
    const { signal, filter } = this.#options;
    let index = 0;
    for await (const entry of this.#folder.entries) {
      signal.throwIfAborted();
      if (index >= FILES_MAX) {
        throw new GantryError("invalid", `a build context has more than ${FILES_MAX} files`);
      }
      this.#add(entry, index++);
      if (this.#failure) throw this.#failure.error;
    }
    await this.#contents();
    for (const { path, node } of this.#came) this.#learn(path, node);
    await this.#folder.finish();
    return this.#finished(filter);
  }

  /** An unchanged folder gives the tree that it gave before, and with it the digests of it. */
  #finished(filter: string): FileTree {
    const last = this.#kept.lastTree(filter);
    const paths = this.#paths;
    const isSame =
      last !== undefined &&
      this.#came.length === 0 &&
      last.paths.length === paths.length &&
      last.paths.every((path, at) => path === paths[at] && same(last.nodes[at], this.#nodes[at]!));
    const tree = isSame ? last.tree : this.#tree;
    this.#kept.keepTree(filter, { tree, paths, nodes: this.#nodes });
    return tree;
  }

  #learn(path: string, node: FileNode): void {
    if (node.mtimeNs + CLOCK_GRAIN_NS > this.#startNs) return;
    this.#kept.learn(path, { node, seenAtMs: Date.now() });
  }

  #add(entry: ClientFile, index: number): void {
    const type = KINDS[entry.mode & S_IFMT];
    if (type === undefined) {
      throw new GantryError("invalid", `${entry.path}: a file of an unknown kind`);
    }
    const { path } = entry;
    const slash = path.lastIndexOf("/");
    const name = checkedName(path.slice(slash + 1), path);
    const parent = this.#parentOf(slash < 0 ? "" : path.slice(0, slash), path);
    if (type === "socket") return;
    const before = parent.children!.get(name);
    if (before !== undefined) {
      throw new GantryError("invalid", `${entry.path} comes twice in a build context`);
    }
    const node = this.#nodeOf(entry, type, index);
    parent.children!.set(name, node);
    this.#paths.push(entry.path);
    this.#nodes.push(node);
  }

  #parentOf(parent: string, path: string): FileNode {
    if (parent === this.#parentPath) return this.#parent;
    let at: FileNode | undefined = this.#tree.root;
    if (parent !== "")
      for (const part of pathParts(path).slice(0, -1)) at = at?.children?.get(part);
    if (at?.type !== "5") {
      throw new GantryError("invalid", `${path} comes before its folder in a build context`);
    }
    this.#parentPath = parent;
    this.#parent = at;
    return at;
  }

  #nodeOf(entry: ClientFile, type: FileNode["type"], index: number): FileNode {
    if (type === "0") return this.#fileOf(entry, index);
    const { uid, gid, modifiedNs: mtimeNs } = entry;
    const facts = { mode: entry.mode & 0o7777, uid, gid, mtimeNs };
    if (type === "5") return folderNode(facts);
    if (type === "2") {
      return { ...BLANK_NODE, ...facts, type, mode: 0o777, link: entry.linkname };
    }
    const isDevice = type === "3" || type === "4";
    const [major, minor] = isDevice ? [entry.devMajor, entry.devMinor] : [0, 0];
    return { ...BLANK_NODE, ...facts, type, major, minor };
  }

  #fileOf(entry: ClientFile, index: number): FileNode {
    if (entry.linkname !== "") {
      const first = this.#tree.find(pathParts(entry.linkname).join("/"), { follow: false })?.node;
      if (first?.type !== "0") {
        const message = `${entry.path} is a link to ${entry.linkname}, which has not come`;
        throw new GantryError("invalid", message);
      }
      return first;
    }
    const known = this.#kept.known(entry.path);
    if (known && isSameFile(known.node, entry)) {
      known.seenAtMs = Date.now();
      return known.node;
    }
    const { uid, gid, size, modifiedNs: mtimeNs } = entry;
    const node: FileNode = {
      ...({ ...BLANK_NODE, type: "0", mode: entry.mode & 0o7777 } as const),
      ...{ uid, gid, size, mtimeNs, digest: EMPTY_DIGEST },
    };
    if (size === 0) this.#came.push({ path: entry.path, node });
    else {
      this.#wanted.push({ path: entry.path, node, index });
      this.#transferMore();
    }
    return node;
  }

  #transferMore(): void {
    while (this.#running < TRANSFERS_MAX && this.#begun < this.#wanted.length && !this.#failure) {
      this.#running++;
      void this.#transfer(this.#wanted[this.#begun++]!).finally(() => {
        this.#running--;
        this.#transferMore();
        this.#wake?.();
      });
    }
  }

  async #transfer({ path, node, index }: { path: string; node: FileNode; index: number }) {
    try {
      const written = await this.#writer.put(this.#counted(index), node.size);
      // What changed while it was read is what came, and will be asked for again.
      if (written.size === node.size) this.#came.push({ path, node });
      this.#written.push({ node, written });
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  async *#counted(index: number): AsyncGenerator<Uint8Array> {
    const { received, signal } = this.#options;
    for await (const chunk of this.#folder.content(index)) {
      signal.throwIfAborted();
      received?.(chunk.length);
      yield chunk;
    }
  }

  async #contents(): Promise<void> {
    const { signal } = this.#options;
    const abort = () => this.#wake?.();
    signal.addEventListener("abort", abort);
    try {
      while (this.#running > 0 && !this.#failure) {
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener("abort", abort);
    }
    if (this.#failure) throw this.#failure.error;
    await this.#writer.flush();
    for (const { node, written } of this.#written) Object.assign(node, written);
  }
}

function isSameFile(node: FileNode, entry: ClientFile): boolean {
  const { mode, uid, gid, size, modifiedNs } = entry;
  return (
    node.mtimeNs === modifiedNs &&
    node.size === size &&
    node.mode === (mode & 0o7777) &&
    node.uid === uid &&
    node.gid === gid &&
    node.xattrs.length === 0
  );
}

/** Files that are known are the same objects; of the others a client says everything. */
function same(a: unknown, b: FileNode): boolean {
  if (a === b) return true;
  const node = a as FileNode;
  if (node.type !== b.type || node.type === "0") return false;
  const facts = ({ mode, uid, gid, link, major, minor, mtimeNs, xattrs }: FileNode) =>
    JSON.stringify([mode, uid, gid, link, major, minor, String(mtimeNs), xattrs]);
  return facts(node) === facts(b);
}
