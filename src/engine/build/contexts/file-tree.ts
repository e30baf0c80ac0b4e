// The index of a context: every file with what a copy needs of it, and where its bytes are. Made
// from what a client says, so nothing in it touches a file system: a path is only ever looked up
// here, links included, and cannot lead outside. A finished tree never changes; a new transfer
// makes a new one.

import { GantryError } from "../../../base/index.ts";
import { compareNames } from "./names.ts";

/** What an inode is: two names of one file share it. */
export interface FileNode {
  /** As in a tar: "0" a file, "2" a symlink, "3" and "4" devices, "5" a folder, "6" a fifo. */
  type: "0" | "2" | "3" | "4" | "5" | "6";
  /** Permissions: 0 to 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeNs: bigint;
  /** Of a symlink. */
  link: string;
  major: number;
  minor: number;
  /** As in a tar: "SCHILY.xattr.user.x". */
  xattrs: readonly [name: string, value: Buffer][];
  /** Where its bytes begin in the pack. */
  offset: number;
  /** SHA-256 of the content, hex; "" where there is none. */
  digest: string;
  /** Of a folder. */
  children?: Map<string, FileNode>;
}

export interface Found {
  node: FileNode;
  /** Absolute, without links. */
  path: string;
}

const NAME_BYTES_MAX = 255;
const PATH_BYTES_MAX = 4096;
const LINKS_MAX = 255;
const FOLDER_MODE = 0o755;

export const BLANK_NODE: Omit<FileNode, "type" | "children"> = {
  ...{ mode: 0o644, uid: 0, gid: 0, size: 0, mtimeNs: 0n, link: "", major: 0, minor: 0 },
  ...{ xattrs: [], offset: 0, digest: "" },
};

export function folderNode(facts: Partial<FileNode> = {}): FileNode {
  return { ...BLANK_NODE, mode: FOLDER_MODE, ...facts, type: "5", children: new Map() };
}

/** Attributes of one host or of overlay itself are never taken over (native/archive-path.c). */
export const travels = (key: string): boolean =>
  !/^SCHILY\.xattr\.(?:trusted\.overlay\.|security\.(?:selinux|ima|evm)|system\.nfs4)/.test(key);

export class FileTree {
  readonly root: FileNode;
  #sorted = new WeakMap<FileNode, string[]>();
  /** Digests of what was selected before: the tree does not change any more. */
  readonly digests = new Map<string, string>();

  constructor(root: FileNode = folderNode()) {
    this.root = root;
  }

  /** What is at a path, links of its folders followed; with `follow` the last one too. Undefined
   * where nothing is; throws not-found with ELOOP for links in a circle. */
  find(path: string, { follow }: { follow: boolean }): Found | undefined {
    const rest = path.split("/").filter((part) => part !== "" && part !== ".");
    let stack: Found[] = [{ node: this.root, path: "/" }];
    let links = 0;
    while (rest.length > 0) {
      const name = rest.shift()!;
      const at = stack.at(-1)!;
      if (name === "..") {
        if (stack.length > 1) stack.pop();
        continue;
      }
      const node = at.node.children?.get(name);
      if (node === undefined) return undefined;
      if (node.type === "2" && (rest.length > 0 || follow)) {
        if (++links > LINKS_MAX) {
          throw new GantryError("invalid", `${path}: too many levels of symbolic links`);
        }
        rest.unshift(...node.link.split("/").filter((part) => part !== "" && part !== "."));
        if (node.link.startsWith("/")) stack = [stack[0]!];
        continue;
      }
      stack.push({ node, path: at.path === "/" ? `/${name}` : `${at.path}/${name}` });
    }
    return stack.at(-1);
  }

  /** The names in a folder in the order of their bytes. */
  names(folder: FileNode): string[] {
    let names = this.#sorted.get(folder);
    if (names === undefined) {
      names = [...(folder.children?.keys() ?? [])].sort(compareNames);
      this.#sorted.set(folder, names);
    }
    return names;
  }

  /** Everything beneath a folder, a folder before what is in it; paths are relative to it. `enter`
   * says whether a folder is looked into. */
  *walk(
    folder: FileNode,
    enter: (path: string) => boolean = () => true,
    prefix = "",
  ): Generator<[path: string, node: FileNode]> {
    for (const name of this.names(folder)) {
      const node = folder.children!.get(name)!;
      const path = prefix === "" ? name : `${prefix}/${name}`;
      yield [path, node];
      if (node.type === "5" && enter(path)) yield* this.walk(node, enter, path);
    }
  }

  /** A tree without the paths that `drops` names; the rest is shared. */
  without(drops: (path: string) => boolean): FileTree {
    const copy = (folder: FileNode, prefix: string): FileNode => {
      const children = new Map<string, FileNode>();
      for (const [name, node] of folder.children!) {
        const path = prefix === "" ? name : `${prefix}/${name}`;
        if (drops(path)) continue;
        children.set(name, node.type === "5" ? copy(node, path) : node);
      }
      return { ...folder, children };
    };
    return new FileTree(copy(this.root, ""));
  }

  /** How many names there are. */
  get count(): number {
    let count = 0;
    for (const _ of this.walk(this.root)) count++;
    return count;
  }
}

/** A client's name for a file, checked: relative, cleaned, no longer than a file system takes. */
export function pathParts(path: string): string[] {
  if (tooLong(path, PATH_BYTES_MAX)) {
    throw new GantryError("invalid", `file name too long: ${path.slice(0, NAME_BYTES_MAX)}…`);
  }
  return path.split("/").map((name) => checkedName(name, path));
}

/** The last part of `path`. */
export function checkedName(name: string, path: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("\0")) {
    throw new GantryError("invalid", `invalid path in a build context: ${JSON.stringify(path)}`);
  }
  if (tooLong(name, NAME_BYTES_MAX)) {
    throw new GantryError("invalid", `file name too long: ${name.slice(0, NAME_BYTES_MAX)}`);
  }
  return name;
}

const tooLong = (text: string, bytesMax: number): boolean =>
  text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax;
