// What COPY and ADD name, found in its source, and what --exclude leaves out of it. One way for the
// digest and for the copy.

import { type FileSelection, IgnoreMatcher, readIgnoreFile } from "../../build/index.ts";
import type { Excludes, Item, SourceFiles } from "./source-files.ts";

export type { Item } from "./source-files.ts";

export interface FoundSelection {
  files: SourceFiles;
  items: Item[];
  excludes: Excludes;
}

export async function findSelection(
  files: SourceFiles,
  { paths, exclude }: Pick<FileSelection, "paths" | "exclude">,
  { signal }: { signal: AbortSignal },
): Promise<FoundSelection> {
  const items: Item[] = [];
  for (const path of paths) items.push(...(await files.find(path, { signal })));
  return { files, items, excludes: excluder(exclude) };
}

/** --exclude has the patterns of an ignore file, seen from what is copied. */
function excluder(patterns: readonly string[]): Excludes {
  if (patterns.length === 0) return () => false;
  const matcher = new IgnoreMatcher(readIgnoreFile(patterns.join("\n"), "--exclude"), "--exclude");
  return (path) => matcher.ignores(path);
}
