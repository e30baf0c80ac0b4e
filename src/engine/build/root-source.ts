// The files of an image or a stage as COPY reads them: the native program enters the file system
// and writes what it finds as a tar, so that every link is followed inside it.

import { createHash, type Hash } from "node:crypto";
import { basename, dirname, join, relative } from "node:path/posix";
import type { Readable } from "node:stream";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { CopyPath } from "../../build/index.ts";
import type { RootFiles, RootSource } from "../../storage/index.ts";
import { matchPaths } from "./contexts/match-paths.ts";
import { treeOfNames } from "./contexts/tree-builder.ts";
import { notFound } from "./copy-words.ts";
import { contentOf } from "./file-content.ts";
import type { Excludes, Item, SourceFiles } from "./source-files.ts";
import { type TarFile, TarScanner, type TarSink } from "./tar-scanner.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
type Call = { signal: AbortSignal };

export class RootSourceFiles implements SourceFiles {
  readonly #files: RootFiles;
  readonly #source: RootSource;

  constructor(files: RootFiles, source: RootSource) {
    this.#files = files;
    this.#source = source;
  }

  async find({ path, pattern, written }: CopyPath, { signal }: Call): Promise<Item[]> {
    const whole = pattern === undefined ? path : join(path, pattern);
    const found = /[*?[\\]/.test(whole) ? await this.#match(whole, signal) : [whole];
    const items: Item[] = [];
    for (const at of found) {
      const stat = await this.#files
        .stat(this.#source, at, { follow: true, signal })
        .catch(async (error) => {
          throw await this.#missing(at, { error, written, signal });
        });
      const into = pattern === undefined ? "" : relative(path, dirname(at));
      const isFolder = (stat.mode & S_IFMT) === S_IFDIR;
      items.push({ path: stat.resolved || at, isFolder, name: basename(at), into });
    }
    return items;
  }

  async #match(pattern: string, signal: AbortSignal): Promise<string[]> {
    if (!pattern.split("/").includes("**")) {
      return await this.#files.glob(this.#source, pattern, { signal });
    }
    const parts = pattern.split("/");
    const first = parts.findIndex((part) => /[*?[\\]/.test(part));
    const folder = parts.slice(0, first).join("/") || "/";
    const names = await this.#names(folder, signal);
    return matchPaths(treeOfNames(names), `/${parts.slice(first).join("/")}`).map((path) =>
      join(folder, path),
    );
  }

  /** Everything beneath a folder. */
  async #names(folder: string, signal: AbortSignal): Promise<TarFile[]> {
    const stat = await this.#files
      .stat(this.#source, folder, { follow: true, signal })
      .catch((error) => {
        if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
        throw error;
      });
    if (stat === undefined) return [];
    const names: TarFile[] = [];
    const sink = { file: (file: TarFile) => names.push(file), data: () => {} };
    const item = { path: stat.resolved || folder, isFolder: true, name: "", into: "" };
    for await (const _ of this.scan(item, () => false, sink, { signal }));
    return names;
  }

  async #missing(
    path: string,
    { error, written, signal }: { error: unknown; written: string; signal: AbortSignal },
  ): Promise<unknown> {
    const errno = errnoOf(error);
    if (errno !== "ENOENT" && errno !== "ENOTDIR" && errno !== "ELOOP") return error;
    const pattern = join(dirname(path), "*");
    const beside = await this.#files.glob(this.#source, pattern, { signal }).catch(() => []);
    const siblings = beside.map((sibling) => basename(sibling));
    return notFound(written, { name: basename(path), siblings, cause: error });
  }

  async *scan(
    item: Item,
    excludes: Excludes,
    sink: TarSink,
    { signal }: Call,
  ): AsyncGenerator<void> {
    const scanner = new TarScanner(new Filter(item, sink, excludes));
    // "x" stands for the item, so that names never collide with it.
    for await (const chunk of this.#files.tar(this.#source, item.path, { name: "x", signal })) {
      scanner.push(chunk as Buffer);
      yield;
    }
    scanner.end();
  }

  async *list(item: Item, excludes: Excludes, o: Call): AsyncGenerator<readonly [TarFile, string]> {
    const sink = new HashingSink();
    for await (const _ of this.scan(item, excludes, sink, o)) yield* sink.done.splice(0);
    sink.finish();
    yield* sink.done;
  }

  content({ path }: Item, o: Call): Readable {
    return contentOf(this.#files, this.#source, { path }, o);
  }
}

/** Gives each file with the digest of its content. */
class HashingSink implements TarSink {
  readonly done: (readonly [TarFile, string])[] = [];
  #file: TarFile | undefined;
  #hash: Hash | undefined;

  file(file: TarFile): void {
    this.finish();
    this.#file = file;
    if (file.type === "0") this.#hash = createHash("sha256");
  }

  data(chunk: Buffer): void {
    this.#hash?.update(chunk);
  }

  finish(): void {
    if (this.#file) this.done.push([this.#file, this.#hash?.digest("hex") ?? ""]);
    this.#file = undefined;
    this.#hash = undefined;
  }
}

class Filter implements TarSink {
  readonly #item: Item;
  readonly #sink: TarSink;
  readonly #excludes: Excludes;
  readonly #excluded = new Set<string>();
  #skips = false;

  constructor(item: Item, sink: TarSink, excludes: Excludes) {
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
