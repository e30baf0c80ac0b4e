// The folder of one build: contexts, downloads and the upper folders of copies that are being made.
// It lies beneath the data root, so that a layer is captured without crossing file systems, and is
// gone when the build ends; boot removes what a crash left.

import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../../base/index.ts";
import type { FileSource, Root } from "../../build/index.ts";
import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import {
  contextTar,
  type IndexedContext,
  IndexFiles,
  readIndexed,
} from "./contexts/index-files.ts";
import { readFileIn } from "./file-content.ts";
import { removeTree } from "./remove-tree.ts";
import { RootSourceFiles } from "./root-source.ts";
import type { SourceFiles } from "./source-files.ts";

/** Where the builds of this engine have their folders. */
export const buildsFolder = (engine: EngineContext): string =>
  join(engine.options.dataRoot, "builds");

export class Workspace {
  readonly dir: string;
  readonly #engine: EngineContext;
  /** By name: a folder of ours, or an index with a pack. */
  readonly #contexts = new Map<string, string | IndexedContext>();
  readonly #atEnd: (() => Promise<void>)[] = [];
  readonly #unpacked = new Map<IndexedContext, Promise<RootSource>>();

  private constructor(engine: EngineContext, dir: string) {
    this.#engine = engine;
    this.dir = dir;
  }

  static async make(engine: EngineContext): Promise<Workspace> {
    const dir = join(buildsFolder(engine), randomBytes(8).toString("hex"));
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const workspace = new Workspace(engine, dir);
    await workspace.folder("empty");
    return workspace;
  }

  /** Makes an empty folder for somebody; `name` is ours, never a user's. */
  async folder(name: string): Promise<string> {
    const path = join(this.dir, name);
    await mkdir(path, { mode: 0o755 });
    return path;
  }

  /** A new folder that nothing else has. */
  async scratch(): Promise<string> {
    return await this.folder(randomBytes(6).toString("hex"));
  }

  /** `context`: a folder of ours, or an index, which stands still as long as the build. */
  setContext(name: string, context: string | IndexedContext): void {
    this.#contexts.set(name, context);
  }

  /** Leaves files out of a context that has an index. `ignored`: what an ignore file had left out
   * before. */
  changeContext(
    name: string,
    { drops, ignored }: { drops?: (path: string) => boolean; ignored?: (path: string) => boolean },
  ): void {
    const context = this.#contexts.get(name);
    if (typeof context !== "object") return;
    const tree = drops ? context.tree.without(drops) : context.tree;
    this.setContext(name, { ...context, tree, ...(ignored && { ignored }) });
  }

  /** What COPY and ADD read. */
  files(from: FileSource): SourceFiles {
    const context = from.kind === "context" ? this.#contexts.get(from.name) : undefined;
    if (typeof context === "object") return new IndexFiles(context);
    return new RootSourceFiles(this.#engine.files, this.source(from));
  }

  /** A small file of a context or a file system, links followed inside it; undefined when there is
   * none. */
  async readFile(
    from: FileSource,
    path: string,
    o: { signal: AbortSignal; bytesMax: number },
  ): Promise<Buffer | undefined> {
    const context = from.kind === "context" ? this.#contexts.get(from.name) : undefined;
    if (typeof context === "object") return await readIndexed(context, path, o);
    return await readFileIn(this.#engine.files, this.source(from), path, o);
  }

  /** The files as a real folder, to be mounted: a context that has none is unpacked, once. */
  async mountable(from: FileSource, { signal }: { signal: AbortSignal }): Promise<RootSource> {
    signal.throwIfAborted();
    const context = from.kind === "context" ? this.#contexts.get(from.name) : undefined;
    if (typeof context !== "object") return this.source(from);
    let unpacking = this.#unpacked.get(context);
    if (unpacking === undefined) {
      unpacking = this.#unpack(context, signal);
      unpacking.catch(() => this.#unpacked.delete(context));
      this.#unpacked.set(context, unpacking);
    }
    return await unpacking;
  }

  async #unpack(context: IndexedContext, signal: AbortSignal): Promise<RootSource> {
    const path = await this.scratch();
    const source: RootSource = { kind: "mount", rootfs: { kind: "bind", path } };
    const tar = contextTar(context, { signal });
    await this.#engine.files.untar(source, "/", tar, { withRoot: true, signal });
    return source;
  }

  /** A file system that the native program can enter. Not for contexts: see `files`, `readFile` and
   * `mountable`. */
  source(from: FileSource): RootSource {
    if (from.kind === "root") return this.view(from.root);
    const path = this.#contexts.get(from.name);
    if (typeof path === "string") return { kind: "mount", rootfs: { kind: "bind", path } };
    if (path !== undefined) throw new GantryError("internal", "a context is no folder");
    throw new GantryError("invalid", `no build context ${JSON.stringify(from.name)} was given`);
  }

  /** A file system that is only read. */
  view({ layers }: Root): RootSource {
    const [top, ...rest] = this.#engine.storage.snapshots.lowerDirs(layers);
    if (top === undefined) {
      return { kind: "mount", rootfs: { kind: "bind", path: join(this.dir, "empty") } };
    }
    const rootfs = { kind: "overlay", lowerDirs: rest, upperDir: top, workDir: "" } as const;
    return { kind: "mount", rootfs };
  }

  async remove(path: string): Promise<void> {
    await removeTree(this.#engine, path);
  }

  /** Called when the build has ended. */
  atEnd(close: () => Promise<void>): void {
    this.#atEnd.push(close);
  }

  async dispose(): Promise<void> {
    await Promise.allSettled(this.#atEnd.splice(0).map((close) => close()));
    await this.remove(this.dir);
  }
}

/** What builds of an earlier engine left. */
export async function clearWorkspaces(engine: EngineContext): Promise<void> {
  await removeTree(engine, buildsFolder(engine));
  await mkdir(buildsFolder(engine), { recursive: true, mode: 0o700 });
  // As for layers: ext4 is slow at making files where many have just been deleted (decision 42).
  await engine.native.run({ host: [{ op: "spreadFolders", path: buildsFolder(engine) }] });
}
