// What COPY and ADD name, found in its source: patterns expanded, symbolic links followed inside
// the source's root (the native program enters it, so nothing leads outside), and each find read
// as a stream of files. One way for the digest and for the copy.

import { basename, dirname, join, relative } from "node:path/posix";
import { errnoOf, GantryError } from "../../base/index.ts";
import {
  type CopyPath,
  didYouMean,
  type FileSelection,
  IgnoreMatcher,
  readIgnoreFile,
} from "../../build/index.ts";
import type { FileStat, RootFiles, RootSource } from "../../storage/index.ts";
import { type TarFile, TarScanner, type TarSink } from "./tar-scanner.ts";

/** A file or folder to copy. */
export interface Item {
  /** Its real path in the source. */
  path: string;
  isFolder: boolean;
  /** The name that it has where it is copied into a folder. */
  name: string;
  /** --parents: the folder beneath the destination that it goes to, else "". */
  into: string;
  stat: FileStat;
}
export interface FoundSelection {
  source: RootSource;
  items: Item[];
  /** Whether a path, seen from what is copied, is left out. */
  excludes: (path: string) => boolean;
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const SUGGESTIONS_MAX = 1000;

export async function findSelection(
  files: RootFiles,
  source: RootSource,
  { paths, exclude }: Pick<FileSelection, "paths" | "exclude">,
  { signal }: { signal: AbortSignal },
): Promise<FoundSelection> {
  const items: Item[] = [];
  for (const path of paths) items.push(...(await findPath(files, source, path, signal)));
  return { source, items, excludes: excluder(exclude) };
}

async function findPath(
  files: RootFiles,
  source: RootSource,
  wanted: CopyPath,
  signal: AbortSignal,
): Promise<Item[]> {
  const { path, pattern, written } = wanted;
  const whole = pattern === undefined ? path : join(path, pattern);
  const isPattern = /[*?[\\]/.test(whole);
  if (whole.includes("**")) {
    const message = `COPY of ${written}: "**" in a source is not supported yet`;
    throw new GantryError("not-implemented", message);
  }
  const found = isPattern ? await files.glob(source, whole, { signal }) : [whole];
  if (found.length === 0) throw noMatch(written);
  const items: Item[] = [];
  for (const at of found) {
    const stat = await files.stat(source, at, { follow: true, signal }).catch(async (error) => {
      throw await notFound(files, source, at, { error, written, signal });
    });
    const into = pattern === undefined ? "" : relative(path, dirname(at));
    const isFolder = (stat.mode & S_IFMT) === S_IFDIR;
    items.push({ path: stat.resolved || at, isFolder, name: basename(at), into, stat });
  }
  return items;
}

function noMatch(written: string): GantryError {
  return new GantryError("invalid", `COPY failed: no source files were specified: ${written}`);
}

/** Docker's classic words, and what was probably meant. */
async function notFound(
  files: RootFiles,
  source: RootSource,
  path: string,
  { error, written, signal }: { error: unknown; written: string; signal: AbortSignal },
): Promise<unknown> {
  const errno = errnoOf(error);
  if (errno !== "ENOENT" && errno !== "ENOTDIR" && errno !== "ELOOP") return error;
  const folder = dirname(path);
  const siblings = await files.glob(source, join(folder, "*"), { signal }).catch(() => []);
  const names = siblings.slice(0, SUGGESTIONS_MAX).map((sibling) => basename(sibling));
  const hint = didYouMean(basename(path), names);
  return new GantryError(
    "invalid",
    "COPY failed: file not found in build context or excluded by .dockerignore: " +
      `stat ${written.replace(/^\/+/, "")}: file does not exist${hint}`,
    { cause: error },
  );
}

/** --exclude has the patterns of an ignore file, seen from what is copied. */
function excluder(patterns: readonly string[]): FoundSelection["excludes"] {
  if (patterns.length === 0) return () => false;
  const matcher = new IgnoreMatcher(readIgnoreFile(patterns.join("\n"), "--exclude"), "--exclude");
  return (path) => matcher.ignores(path);
}

/** Reads the files of an item into `sink`, and yields between chunks: names are relative to the
 * folder, "" is the folder or file itself; what is excluded does not come. */
export async function* scanItem(
  files: RootFiles,
  { source, excludes }: FoundSelection,
  item: Item,
  sink: TarSink,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<void> {
  const scanner = new TarScanner(new Filter(item, sink, excludes));
  // "x" stands for the item, so that names never collide with it.
  for await (const chunk of files.tar(source, item.path, { name: "x", signal })) {
    scanner.push(chunk as Buffer);
    yield;
  }
  scanner.end();
}

class Filter implements TarSink {
  readonly #item: Item;
  readonly #sink: TarSink;
  readonly #excludes: FoundSelection["excludes"];
  readonly #excluded = new Set<string>();
  #skips = false;

  constructor(item: Item, sink: TarSink, excludes: FoundSelection["excludes"]) {
    this.#item = item;
    this.#sink = sink;
    this.#excludes = excludes;
  }

  file(file: TarFile): void {
    const name = inside(file.name);
    const seen = this.#item.isFolder ? name : this.#item.name;
    this.#skips = seen !== "" && this.#excludes(seen);
    if (this.#skips) {
      this.#excluded.add(name);
      return;
    }
    const link = file.type === "1" ? inside(file.link) : file.link;
    if (file.type === "1" && this.#excluded.has(link)) {
      const message = `${name} is a hard link to ${link}, which --exclude leaves out`;
      throw new GantryError("invalid", message);
    }
    this.#sink.file({ ...file, name, link });
  }

  data(chunk: Buffer): void {
    if (!this.#skips) this.#sink.data(chunk);
  }
}

/** "x/a/b" → "a/b", "x" → "". */
const inside = (name: string): string => name.slice(1).replace(/^\//, "").replace(/\/$/, "");
