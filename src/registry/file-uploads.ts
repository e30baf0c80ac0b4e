// Unfinished uploads on local files: a folder each, with "data" and, for Docker's own registry
// which expires by it, "startedat". Who writes, completes or aborts first renames "data" to a name
// with its own identity: a rename succeeds for one only, so that no other request or process can
// write into bytes that have been hashed. What a dead process holds is copied, never taken: should
// it not be dead after all, it goes on writing into a file that nobody will see.

import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, openSync, readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { errnoOf, GantryError } from "../base/index.ts";
import type { ObjectFacts } from "./contract.ts";
import type { StreamBudget } from "./stream-budget.ts";

/** The folder in which unfinished uploads are, as in Docker's registry. */
export const UPLOADS = "_uploads";
const DATA = "data";
const STARTED = "startedat";
/** A holder on another machine that has not written for so long is taken for dead. */
const foreignHolderIdleMsMax = 60_000;

const machine = createHash("sha256")
  .update(hostname() + readOr("/proc/sys/kernel/random/boot_id"))
  .digest("hex")
  .slice(0, 12);
const own = `${machine}.${process.pid}.${startTimeOf(process.pid)}`;
let claims = 0;

export class FileUploads {
  readonly #budget: StreamBudget;
  readonly #held = new Set<string>();

  constructor(budget: StreamBudget) {
    this.#budget = budget;
  }

  async append(folder: string, offset: number, bytes: Readable): Promise<number> {
    if (offset === 0) await begin(folder);
    return await this.#holding(folder, async (file) => {
      const { size } = await fs.stat(file);
      if (size !== offset) throw conflict(`the upload has ${size} bytes, not ${offset}`);
      const share = this.#budget.take();
      const sink = createWriteStream(file, {
        flags: "r+",
        start: offset,
        highWaterMark: share.bytes,
      });
      try {
        const failure = await pour(bytes, sink);
        if (failure !== undefined) throw failure;
      } finally {
        share.release();
      }
      return offset + sink.bytesWritten;
    });
  }

  async facts(folder: string): Promise<ObjectFacts | undefined> {
    // Between a look and the next another may rename: a few attempts see one of the names.
    for (let attempt = 0; attempt < 5; attempt++) {
      const names = await namesIn(folder);
      if (names === undefined) return undefined;
      const data = names.find((name) => name === DATA) ?? names.find(isHeld);
      if (data === undefined && !names.includes(STARTED)) return undefined;
      const facts = await fs.stat(join(folder, data ?? STARTED)).catch(() => undefined);
      if (facts) return { size: data ? facts.size : 0, modifiedAt: facts.mtime };
    }
    return undefined;
  }

  async open(folder: string): Promise<Readable> {
    const names = (await namesIn(folder)) ?? [];
    const data = names.find((name) => name === DATA) ?? names.find(isHeld);
    if (data === undefined) throw missing(folder);
    try {
      const share = this.#budget.take();
      const fd = openSync(join(folder, data), "r");
      const stream = createReadStream("", { fd, highWaterMark: share.bytes });
      stream.once("close", share.release);
      return stream;
    } catch (error) {
      throw errnoOf(error) === "ENOENT" ? missing(folder) : error;
    }
  }

  /** Makes the bytes durable and hands the file to `publish`, which moves it away. */
  async complete(
    folder: string,
    size: number,
    publish: (file: string) => Promise<void>,
  ): Promise<void> {
    await this.#holding(folder, async (file) => {
      const handle = await fs.open(file, "r+");
      try {
        const found = (await handle.stat()).size;
        if (found !== size) throw conflict(`the upload has ${found} bytes, not ${size}`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await publish(file);
    });
    await fs.rm(folder, { recursive: true, force: true });
  }

  async abort(folder: string): Promise<void> {
    try {
      await this.#holding(folder, (file) => fs.rm(file, { force: true }));
    } catch (error) {
      if (!(error instanceof GantryError && error.kind === "not-found")) throw error;
    }
    await fs.rm(folder, { recursive: true, force: true });
  }

  async #holding<T>(folder: string, work: (file: string) => Promise<T>): Promise<T> {
    const name = `${DATA}.${own}.${++claims}`;
    const file = join(folder, name);
    this.#held.add(name);
    try {
      await this.#claim(folder, file);
      try {
        return await work(file);
      } finally {
        await fs.rename(file, join(folder, DATA)).catch(() => {}); // moved on, or removed
      }
    } finally {
      this.#held.delete(name);
    }
  }

  async #claim(folder: string, file: string): Promise<void> {
    if (await renamed(join(folder, DATA), file)) return;
    const names = await namesIn(folder);
    if (names === undefined) throw missing(folder);
    const holder = names.find(isHeld);
    if (holder === undefined) {
      if (await renamed(join(folder, DATA), file)) return; // given back meanwhile
      if (!names.includes(STARTED)) throw missing(folder);
      throw conflict("the upload is being finished");
    }
    if (await this.#isAlive(folder, holder)) throw conflict("the upload is busy");
    await fs.copyFile(join(folder, holder), file);
    await fs.rm(join(folder, holder), { force: true });
  }

  async #isAlive(folder: string, holder: string): Promise<boolean> {
    const [, onMachine, pid = "", started] = holder.split(".");
    if (holder.startsWith(`${DATA}.${own}.`)) return this.#held.has(holder);
    if (onMachine === machine) return startTimeOf(Number(pid)) === started;
    const facts = await fs.stat(join(folder, holder)).catch(() => undefined);
    return facts === undefined || Date.now() - facts.mtimeMs < foreignHolderIdleMsMax;
  }
}

async function begin(folder: string): Promise<void> {
  const names = await namesIn(folder);
  if (names?.includes(DATA) || names?.some(isHeld)) return;
  await fs.mkdir(folder, { recursive: true, mode: 0o755 });
  await fs.writeFile(join(folder, STARTED), new Date().toISOString().replace(/\.\d+/, ""));
  await fs.writeFile(join(folder, DATA), "", { flag: "a" });
}

/** Writes until the source ends or fails; what has arrived is written in either case. Returns the
 * source's failure; throws the sink's. */
function pour(source: Readable, sink: Writable): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let failure: unknown;
    let ended = false;
    const finish = (error?: unknown): void => {
      if (ended) return;
      ended = true;
      failure = error;
      source.unpipe(sink);
      sink.end();
    };
    sink.once("error", (error) => {
      source.unpipe(sink);
      reject(error);
    });
    sink.once("close", () => resolve(failure));
    source.once("end", () => finish());
    source.once("error", finish);
    source.once("close", () =>
      finish(source.readableEnded ? undefined : new GantryError("cancelled", "the sender left")),
    );
    if (source.destroyed && !source.readableEnded) {
      finish(source.errored ?? new GantryError("cancelled", "the sender left"));
    } else if (source.readableEnded) finish();
    else source.pipe(sink, { end: false });
  });
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await fs.rename(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function namesIn(folder: string): Promise<string[] | undefined> {
  try {
    return await fs.readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

function isHeld(name: string): boolean {
  return name.startsWith(`${DATA}.`);
}

function missing(folder: string): GantryError {
  return new GantryError("not-found", "there is no such upload", { detail: { folder } });
}

function conflict(why: string): GantryError {
  return new GantryError("conflict", why);
}

/** When a process began, in ticks since boot; with its id this names it for good. */
function startTimeOf(pid: number): string | undefined {
  const stat = readOr(`/proc/${pid}/stat`);
  return stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .at(19);
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
