// Builds the tree of a context from the entries of an archive in whatever order they come, with
// what unpacking them would give: later entries win, folders that are not named are made, links
// above a name are followed inside the root. What is too odd for it is left to the native program,
// which unpacks for real.

import { GantryError } from "../../../base/index.ts";
import { BLANK_NODE, type FileNode, FileTree, folderNode } from "./file-tree.ts";

/** Says that only unpacking can tell what an archive means. */
export class TooOdd extends Error {}

const ENTRIES_MAX = 10_000_000;

export class TreeBuilder {
  readonly #tree = new FileTree();
  #folderPath = "";
  #folder: FileNode = this.#tree.root;
  #count = 0;

  /** `path` as the archive has it. */
  add(path: string, node: FileNode): void {
    this.#countUp();
    const parts = cleaned(path);
    const name = parts.pop();
    if (name === undefined) {
      if (node.type !== "5") throw new GantryError("invalid", "archive entry without a name");
      return;
    }
    const folder = this.#parent(parts);
    const before = folder.children!.get(name);
    if (before?.type === "5" && node.type === "5") {
      const { children: _, ...facts } = node;
      Object.assign(before, facts);
      return;
    }
    if (before !== undefined) this.#forgetFolder();
    folder.children!.set(name, node);
  }

  /** A further name of a file that came before. */
  link(path: string, target: string): void {
    this.#countUp();
    const parts = cleaned(path);
    const name = parts.pop();
    const from = cleaned(target);
    const last = from.pop();
    if (name === undefined || last === undefined) throw new TooOdd();
    const folder = this.#parent(parts);
    const node = this.#parent(from, false).children!.get(last);
    if (node === undefined || node.type === "5") throw new TooOdd();
    const before = folder.children!.get(name);
    if (before?.type === "5") throw new TooOdd(); // it may hold the very file
    if (before !== undefined) this.#forgetFolder();
    folder.children!.set(name, node);
  }

  finish(): FileTree {
    return this.#tree;
  }

  #countUp(): void {
    if (++this.#count <= ENTRIES_MAX) return;
    throw new GantryError("invalid", `a build context has more than ${ENTRIES_MAX} files`);
  }

  #forgetFolder(): void {
    this.#folderPath = "";
    this.#folder = this.#tree.root;
  }

  #parent(parts: readonly string[], make = true): FileNode {
    const path = parts.join("/");
    if (path === this.#folderPath) return this.#folder;
    const found = this.#find(path) ?? (make ? this.#make(parts) : undefined);
    if (found?.type !== "5") throw new TooOdd();
    this.#folderPath = path;
    this.#folder = found;
    return found;
  }

  #find(path: string): FileNode | undefined {
    try {
      return this.#tree.find(path, { follow: true })?.node;
    } catch {
      throw new TooOdd(); // links in a circle
    }
  }

  #make(parts: readonly string[]): FileNode {
    let at = this.#tree.root;
    const mtimeNs = BigInt(Date.now()) * 1_000_000n;
    for (const name of parts) {
      let next = at.children!.get(name);
      if (next === undefined) {
        next = folderNode({ mtimeNs });
        at.children!.set(name, next);
      }
      if (next.type !== "5") throw new TooOdd(); // a link that leads to nothing, a file
      at = next;
    }
    return at;
  }
}

/** Without empty and "." parts; ".." must stay inside. */
function cleaned(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) {
      throw new GantryError("invalid", `archive entry is outside of the root: ${path}`);
    }
  }
  return parts;
}

/** A tree of what a scan found, for its names and kinds alone. */
export function treeOfNames(files: Iterable<{ name: string; type: string; link: string }>) {
  const builder = new TreeBuilder();
  for (const { name, type, link } of files) {
    if (name === "") continue;
    if (type === "5") builder.add(name, folderNode());
    else if (type === "2") builder.add(name, { ...BLANK_NODE, type, link });
    else builder.add(name, { ...BLANK_NODE, type: "0" });
  }
  return builder.finish();
}
