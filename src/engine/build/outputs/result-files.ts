// The file system of a result as files: for folders and tars at the client, for scanners. Entries
// come from the native program's view of the whole; the content of a file is then read from the
// layer that has it on top. Layers never change, and every folder on the way is looked at, so no
// link in one leads outside.

import { constants } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { errnoOf, GantryError } from "../../../base/index.ts";
import type { EngineContext } from "../../context.ts";
import { type TarFile, TarScanner } from "../tar-scanner.ts";

const READ_BYTES = 256 * 1024;
/** Opening a file costs more than reading so much of it. */
const SMALL_BYTES_MAX = 64 * 1024;
const SMALL_TOTAL_BYTES_MAX = 32 * 1024 * 1024;

/** A file of a tree that is walked, with its content where that is wanted. */
export interface Visit {
  file: TarFile;
  /** Relative, clean: "usr/bin/env". */
  path: string;
}
export interface Visitor {
  visit(visit: Visit): void;
  /** Bytes of the file that was visited last. */
  data?(chunk: Buffer): void;
}

export class ResultFiles {
  readonly #engine: EngineContext;
  readonly #layers: readonly string[];
  readonly #dirs: readonly string[];
  readonly #signal: AbortSignal;
  /** Contents that were read with their entries and have not been asked for yet. */
  readonly #small = new Map<string, Buffer>();
  #smallBytes = 0;
  /** Whether a folder of a layer is one. */
  readonly #folders = new Map<string, Promise<boolean>>();

  constructor(
    engine: EngineContext,
    layers: readonly string[],
    { signal }: { signal: AbortSignal },
  ) {
    this.#engine = engine;
    this.#layers = layers;
    this.#dirs = layers.toReversed().map((diffId) => {
      const layer = engine.storage.layers.get(diffId);
      if (layer) return layer.dir;
      throw new GantryError("corrupt", `Layer ${diffId} is missing`);
    });
    this.#signal = signal;
  }

  /** The whole as a tar; undefined when it is empty. */
  tar(): Readable | undefined {
    const [top, ...rest] = this.#engine.storage.snapshots.lowerDirs(this.#layers);
    if (top === undefined) return undefined;
    const rootfs = { kind: "overlay", lowerDirs: rest, upperDir: top, workDir: "" } as const;
    return this.#engine.files.tar({ kind: "mount", rootfs }, "/", {
      ...{ contents: true, signal: this.#signal },
    });
  }

  /** Every file, then its bytes; folders before what is in them, siblings by their names' bytes. */
  async *events(): AsyncGenerator<(Visit | Buffer)[]> {
    const tar = this.tar();
    if (tar === undefined) return;
    let found: (Visit | Buffer)[] = [];
    const scanner = new TarScanner({
      file: (file) => {
        const path = cleanName(file.name);
        if (path !== "") found.push({ file, path });
      },
      data: (chunk) => void found.push(chunk),
    });
    for await (const chunk of tar) {
      scanner.push(chunk as Buffer);
      yield found;
      found = [];
    }
    scanner.end();
    yield found;
  }

  /** The same for who wants to be called. */
  async walk({ visit, data }: Visitor): Promise<void> {
    for await (const events of this.events()) {
      for (const event of events) {
        if (Buffer.isBuffer(event)) data?.(event);
        else visit(event);
      }
    }
  }

  /** The files alone, at the speed of whoever asks. Small ones come with their bytes, as long as
   * those that came before have been taken: content() has them, once. */
  async *entries(): AsyncGenerator<Visit> {
    let open: { visit: Visit; chunks: Buffer[] } | undefined;
    const close = (): Visit[] => {
      if (open === undefined) return [];
      const { visit, chunks } = open;
      this.#small.set(visit.path, Buffer.concat(chunks));
      open = undefined;
      return [visit];
    };
    for await (const events of this.events()) {
      for (const event of events) {
        if (Buffer.isBuffer(event)) {
          open?.chunks.push(event);
          continue;
        }
        yield* close();
        const { type, size } = event.file;
        const fits = type === "0" && size <= SMALL_BYTES_MAX;
        if (fits && this.#smallBytes + size <= SMALL_TOTAL_BYTES_MAX) {
          this.#smallBytes += size;
          open = { visit: event, chunks: [] };
        } else yield event;
      }
    }
    yield* close();
  }

  /** The bytes of a regular file of the whole. */
  async *content(path: string): AsyncGenerator<Uint8Array> {
    const small = this.#small.get(path);
    if (small !== undefined) {
      this.#small.delete(path);
      this.#smallBytes -= small.length;
      yield small;
      return;
    }
    await using file = await this.#open(path);
    for await (const chunk of file.createReadStream({
      ...{ autoClose: false, highWaterMark: READ_BYTES },
    })) {
      this.#signal.throwIfAborted();
      yield chunk as Buffer;
    }
  }

  async #open(path: string): Promise<FileHandle> {
    const parts = path.split("/");
    const isPlain = parts.every((part) => part !== "" && part !== "." && part !== "..");
    for (const dir of isPlain ? this.#dirs : []) {
      if (!(await this.#hasFolder(dir, parts.slice(0, -1)))) continue;
      try {
        const file = await open(
          join(dir, path),
          constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
        );
        if ((await file.stat()).isFile()) return file;
        await file.close();
        break;
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
    throw new GantryError("not-found", `no file ${path} in the result`);
  }

  async #hasFolder(dir: string, parts: readonly string[]): Promise<boolean> {
    for (let length = 1; length <= parts.length; length++) {
      const path = join(dir, ...parts.slice(0, length));
      let known = this.#folders.get(path);
      if (known === undefined) {
        known = lstat(path).then(
          (stat) => stat.isDirectory(),
          () => false,
        );
        this.#folders.set(path, known);
      }
      if (!(await known)) return false;
    }
    return true;
  }
}

/** "./etc/" → "etc"; the root itself is "". */
const cleanName = (name: string): string =>
  name
    .replace(/^(\.?\/)+/, "")
    .replace(/\/+$/, "")
    .replace(/^\.$/, "");
