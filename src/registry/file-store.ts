// The object store on local files. An object is written under a temporary name, synced and renamed,
// so that it is whole or not there, also after kill -9 or a power cut. Folders come and go with the
// objects in them. Small objects are read synchronously: a link costs four short system calls, and
// four trips through the thread pool would cost ten times that.

import { randomBytes } from "node:crypto";
import { closeSync, type Dirent, fstatSync, openSync, readSync, statSync } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import type { Readable } from "node:stream";
import { errnoOf, GantryError } from "../base/index.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import { FileBody } from "./file-body.ts";
import { FileUploads, UPLOADS } from "./file-uploads.ts";
import { StreamBudget } from "./stream-budget.ts";

const TEMPORARY = ".tmp";
/** Larger ones are read without blocking. */
const syncReadBytesMax = 64 << 10;
const readBytesMax = 8 << 20;
const mkdirAttemptsMax = 10;
const temporaryAgeMsMax = 24 * 3600 * 1000;
const statsAtOnce = 32;

/** Opens (and makes) a store beneath `root`. */
export async function openFileStore(root: string): Promise<ObjectStore> {
  await fs.mkdir(join(root, TEMPORARY), { recursive: true, mode: 0o755 });
  const store = new FileStore(root);
  await store.removeStaleTemporaries();
  return store;
}

class FileStore implements ObjectStore {
  readonly #root: string;
  readonly #uploads: FileUploads;
  readonly #budget = new StreamBudget();

  constructor(root: string) {
    this.#root = root;
    this.#uploads = new FileUploads(this.#budget);
  }

  /** What a killed process left; what another one is writing now is younger. */
  async removeStaleTemporaries(): Promise<void> {
    for (const name of await fs.readdir(join(this.#root, TEMPORARY))) {
      const path = join(this.#root, TEMPORARY, name);
      const facts = await fs.stat(path).catch(() => undefined);
      if (facts && Date.now() - facts.mtimeMs > temporaryAgeMsMax) {
        await fs.rm(path, { force: true });
      }
    }
  }

  async read(path: string): Promise<Buffer> {
    const file = this.#full(path);
    let fd: number;
    try {
      fd = openSync(file, "r");
    } catch (error) {
      throw asStoreError(error, path);
    }
    try {
      const { size } = fstatSync(fd);
      if (size > readBytesMax) {
        throw new GantryError("invalid", `${path} is larger than ${readBytesMax} bytes`);
      }
      if (size <= syncReadBytesMax) {
        const bytes = Buffer.allocUnsafe(size);
        return bytes.subarray(0, readSync(fd, bytes, 0, size, 0));
      }
    } catch (error) {
      throw asStoreError(error, path);
    } finally {
      closeSync(fd);
    }
    return await fs.readFile(file).catch((error) => {
      throw asStoreError(error, path);
    });
  }

  async open(path: string, range?: { start: number; end?: number }): Promise<Readable> {
    const file = this.#full(path);
    let fd: number;
    try {
      fd = openSync(file, "r");
    } catch (error) {
      throw asStoreError(error, path);
    }
    const { size } = fstatSync(fd);
    const end = Math.min(size, (range?.end ?? size) + 1);
    return new FileBody(fd, { start: range?.start ?? 0, end, budget: this.#budget });
  }

  async stat(path: string): Promise<ObjectFacts | undefined> {
    try {
      const facts = statSync(this.#full(path), { throwIfNoEntry: false });
      return facts?.isFile() ? { size: facts.size, modifiedAt: facts.mtime } : undefined;
    } catch (error) {
      throw asStoreError(error, path);
    }
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    const target = this.#full(path);
    const temporary = await this.#temporary(bytes);
    try {
      await withFolder(target, () => fs.rename(temporary, target));
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw asStoreError(error, path);
    }
    await syncFolder(dirname(target));
  }

  async create(path: string, bytes: Uint8Array): Promise<boolean> {
    const target = this.#full(path);
    const temporary = await this.#temporary(bytes);
    try {
      await withFolder(target, () => fs.link(temporary, target));
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      throw asStoreError(error, path);
    } finally {
      await fs.rm(temporary, { force: true });
    }
  }

  async #temporary(bytes: Uint8Array): Promise<string> {
    const path = join(this.#root, TEMPORARY, randomBytes(12).toString("hex"));
    try {
      const file = await fs.open(path, "wx", 0o644);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      return path;
    } catch (error) {
      await fs.rm(path, { force: true });
      throw asStoreError(error, path);
    }
  }

  async touch(path: string): Promise<boolean> {
    try {
      const now = new Date();
      await fs.utimes(this.#full(path), now, now);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw asStoreError(error, path);
    }
  }

  async list(folder: string, page: { after?: string; limit?: number } = {}): Promise<string[]> {
    const names = (await entriesOf(this.#full(folder)))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .filter((name) => page.after === undefined || name > page.after)
      .sort(byCodeUnit);
    return page.limit === undefined ? names : names.slice(0, page.limit);
  }

  async *walk(folder: string): AsyncIterable<{ path: string } & ObjectFacts> {
    const pending = [folder];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const beneath = next === "" ? "" : `${next}/`;
      const files: string[] = [];
      for (const entry of await entriesOf(this.#full(next))) {
        (entry.isDirectory() ? pending : files).push(`${beneath}${entry.name}`);
      }
      for (let at = 0; at < files.length; at += statsAtOnce) {
        const batch = files.slice(at, at + statsAtOnce);
        const facts = await Promise.all(batch.map((path) => factsOf(this.#full(path))));
        for (const [index, path] of batch.entries()) {
          const found = facts[index];
          if (found !== undefined) yield { path, ...found };
        }
      }
    }
  }

  async move(from: string, to: string): Promise<void> {
    const [source, target] = [this.#full(from), this.#full(to)];
    try {
      await fs.stat(source);
      await withFolder(target, () => fs.rename(source, target));
    } catch (error) {
      throw asStoreError(error, from);
    }
    await syncFolder(dirname(target));
    await this.#prune(dirname(source));
  }

  async remove(path: string): Promise<void> {
    const file = this.#full(path);
    try {
      await fs.unlink(file);
    } catch (error) {
      if (isMissing(error)) return;
      throw asStoreError(error, path);
    }
    await this.#prune(dirname(file));
  }

  async removeAll(folder: string): Promise<void> {
    const path = this.#full(folder);
    await fs.rm(path, { recursive: true, force: true });
    await this.#prune(dirname(path));
  }

  /** Removes folders that have become empty; a writer that needs one makes it again. */
  async #prune(folder: string): Promise<void> {
    for (let at = folder; at.startsWith(this.#root + sep); at = dirname(at)) {
      try {
        await fs.rmdir(at);
      } catch {
        return;
      }
    }
  }

  async appendTo(upload: string, offset: number, bytes: Readable): Promise<number> {
    try {
      return await this.#uploads.append(this.#full(upload), offset, bytes);
    } catch (error) {
      // A sender that left has an errno too; nobody is there to read the difference.
      throw asStoreError(error, upload);
    }
  }
  async uploadSize(upload: string): Promise<number | undefined> {
    return (await this.#uploads.facts(this.#full(upload)))?.size;
  }
  async openUpload(upload: string): Promise<Readable> {
    return await this.#uploads.open(this.#full(upload));
  }
  async completeUpload(upload: string, path: string, size: number): Promise<void> {
    const target = this.#full(path);
    await this.#uploads.complete(this.#full(upload), size, async (file) => {
      await withFolder(target, () => fs.rename(file, target));
      await syncFolder(dirname(target));
    });
    await this.#prune(dirname(this.#full(upload)));
  }
  async abortUpload(upload: string): Promise<void> {
    await this.#uploads.abort(this.#full(upload));
    await this.#prune(dirname(this.#full(upload)));
  }

  async *uploads(folder = ""): AsyncIterable<{ upload: string } & ObjectFacts> {
    const pending = [folder];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const beneath = next === "" ? "" : `${next}/`;
      for (const entry of await allEntriesOf(this.#full(next))) {
        if (!entry.isDirectory()) continue;
        if (!entry.name.startsWith("_")) pending.push(`${beneath}${entry.name}`);
        if (entry.name !== UPLOADS) continue;
        for (const { name } of await allEntriesOf(this.#full(`${beneath}${UPLOADS}`))) {
          const upload = `${beneath}${UPLOADS}/${name}`;
          const facts = await this.#uploads.facts(this.#full(upload));
          if (facts !== undefined) yield { upload, ...facts };
        }
      }
    }
  }

  async close(): Promise<void> {}

  #full(path: string): string {
    if (path.includes("\0") || path.split("/").includes("..")) {
      throw new GantryError("invalid", `Invalid path in the store: ${JSON.stringify(path)}`);
    }
    return join(this.#root, path);
  }
}

/** What a folder holds, without unfinished uploads and temporaries. */
async function entriesOf(folder: string): Promise<Dirent[]> {
  const all = await allEntriesOf(folder);
  return all.filter(({ name }) => name !== UPLOADS && name !== TEMPORARY);
}

async function allEntriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await fs.readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw asStoreError(error, folder);
  }
}

async function factsOf(file: string): Promise<ObjectFacts | undefined> {
  try {
    const facts = await fs.stat(file);
    return facts.isFile() ? { size: facts.size, modifiedAt: facts.mtime } : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw asStoreError(error, file);
  }
}

/** Runs `work`, making the folder of `target` when it is missing, also when another request or
 * process prunes it meanwhile. */
async function withFolder(target: string, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" || attempt > mkdirAttemptsMax) throw error;
      await fs.mkdir(dirname(target), { recursive: true, mode: 0o755 });
    }
  }
}

/** The new name is durable once its folder is; another may have removed both meanwhile. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.open(folder, "r").catch(() => undefined);
  if (handle === undefined) return;
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isMissing(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ENOTDIR";
}

function asStoreError(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof GantryError || !/^E[A-Z0-9]+$/.test(errno ?? "")) return error;
  if (isMissing(error)) return new GantryError("not-found", `${path} is not in the store`);
  const full = errno === "ENOSPC" || errno === "EDQUOT" || errno === "EMFILE";
  const why = full ? `the store cannot take ${path} now` : `the store failed on ${path}`;
  return new GantryError("unavailable", why, { cause: error, detail: { errno } });
}
