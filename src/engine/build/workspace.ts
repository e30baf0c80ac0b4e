// The folder of one build: contexts, downloads and the upper folders of copies that are being made.
// It lies beneath the data root, so that a layer is captured without crossing file systems, and is
// gone when the build ends; boot removes what a crash left.

import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import type { FileSource, Root } from "../../build/index.ts";
import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { readFileIn } from "./file-content.ts";

/** Where the builds of this engine have their folders. */
export const buildsFolder = (engine: EngineContext): string =>
  join(engine.options.dataRoot, "builds");

export class Workspace {
  readonly dir: string;
  readonly #engine: EngineContext;
  readonly #contexts = new Map<string, string>();

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

  /** Unpacks an archive as a context: its files are root's, whoever sent them. */
  async unpack(name: string, tar: Readable, { signal }: { signal: AbortSignal }): Promise<void> {
    const path = await this.scratch();
    const source: RootSource = { kind: "mount", rootfs: { kind: "bind", path } };
    await this.#engine.files.untar(source, "/", tar, { owner: { uid: 0, gid: 0 }, signal });
    this.setContext(name, path);
  }

  async emptyContext(name: string): Promise<void> {
    this.setContext(name, await this.scratch());
  }

  setContext(name: string, path: string): void {
    this.#contexts.set(name, path);
  }

  /** A small file of a context or a file system, links followed inside it; undefined when there is
   * none. */
  async readFile(
    from: FileSource,
    path: string,
    o: { signal: AbortSignal; bytesMax: number },
  ): Promise<Buffer | undefined> {
    return await readFileIn(this.#engine.files, this.source(from), path, o);
  }

  /** The files as a real folder, to be mounted: a context that has none is unpacked, once. */
  async mountable(from: FileSource, o: { signal: AbortSignal }): Promise<RootSource> {
    o.signal.throwIfAborted();
    return this.source(from);
  }

  source(from: FileSource): RootSource {
    if (from.kind === "root") return this.view(from.root);
    const path = this.#contexts.get(from.name);
    if (path !== undefined) return { kind: "mount", rootfs: { kind: "bind", path } };
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
    await this.#engine.native.run({ host: [{ op: "removeTree", path, missingOk: true }] });
  }

  async dispose(): Promise<void> {
    await this.remove(this.dir);
  }
}

/** What builds of an earlier engine left. */
export async function clearWorkspaces(engine: EngineContext): Promise<void> {
  await engine.native.run({
    host: [{ op: "removeTree", path: buildsFolder(engine), missingOk: true }],
  });
  await mkdir(buildsFolder(engine), { recursive: true, mode: 0o700 });
  // As for layers: ext4 is slow at making files where many have just been deleted (decision 42).
  await engine.native.run({ host: [{ op: "spreadFolders", path: buildsFolder(engine) }] });
}
