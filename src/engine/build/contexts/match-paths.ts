// Patterns of COPY's sources over an index: *, ?, [a-z] and \ within a name, as Go's
// filepath.Match; a part ** stands for any number of folders. A folder at a time, so that what
// cannot fit is not looked at.

import { compilePattern } from "../../../build/index.ts";
import type { FileNode, FileTree } from "./file-tree.ts";

const MATCHES_MAX = 1_000_000;

/** The absolute paths that fit, in the order of their bytes; links to folders are followed where
 * the pattern names one, never by **. */
export function matchPaths(tree: FileTree, pattern: string): string[] {
  const parts = pattern.split("/").filter((part) => part !== "" && part !== ".");
  const found = new Set<string>();
  matchIn(tree, "/", parts, found);
  return [...found].sort();
}

function matchIn(tree: FileTree, folder: string, parts: readonly string[], found: Set<string>) {
  const [part, ...rest] = parts;
  if (part === undefined || found.size > MATCHES_MAX) return;
  const at = tree.find(folder, { follow: true })?.node;
  if (at?.type !== "5") return;
  if (part === "**") return anyDepth(tree, folder, at, rest, found);
  const isPlain = !/[*?[\\]/.test(part);
  const fits = isPlain ? undefined : nameMatcher(part);
  for (const name of isPlain ? [part] : tree.names(at)) {
    if (fits && !fits(name)) continue;
    const path = folder === "/" ? `/${name}` : `${folder}/${name}`;
    if (rest.length > 0) matchIn(tree, path, rest, found);
    else if (tree.find(path, { follow: false }) !== undefined) found.add(path);
  }
}

function anyDepth(
  tree: FileTree,
  folder: string,
  at: FileNode,
  rest: readonly string[],
  found: Set<string>,
) {
  const base = folder === "/" ? "" : folder;
  const folders = [folder];
  for (const [path, node] of tree.walk(at)) {
    if (rest.length === 0) found.add(`${base}/${path}`);
    if (node.type === "5") folders.push(`${base}/${path}`);
  }
  if (rest.length > 0) for (const one of folders) matchIn(tree, one, rest, found);
}

/** Within one name two stars are one, as in Go. */
export function nameMatcher(part: string): (name: string) => boolean {
  const pattern = compilePattern(part.replace(/\*{2,}/g, "*"), false);
  return (name) => pattern.matches(name);
}
