// What a build leaves beside its record, kept on disk for whoever asks later: one compressed file a
// build. None is synced: it is only told, nothing stands on it.

import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { digestOf, hexOf } from "../../spec/index.ts";

const NAME_DIGITS = 32;
/** A file that says more was not written by us. */
const TEXT_BYTES_MAX = 64 * 1024 * 1024;

export class HistoryFiles {
  readonly #folder: string;
  readonly #ending: string;
  /** Those that are being written. */
  readonly #fresh = new Map<string, string>();

  constructor(folder: string, ending: string) {
    this.#folder = folder;
    this.#ending = ending;
  }

  /** Readable from now on; on disk when this resolves. */
  async write(ref: string, text: string): Promise<void> {
    this.#fresh.set(ref, text);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const path = this.#path(ref);
      await writeFile(`${path}.tmp`, await promisify(gzip)(text), { mode: 0o600 });
      await rename(`${path}.tmp`, path);
    } finally {
      this.#fresh.delete(ref);
    }
  }

  /** Undefined where the file is gone or damaged. */
  async read(ref: string): Promise<string | undefined> {
    const fresh = this.#fresh.get(ref);
    if (fresh !== undefined) return fresh;
    try {
      const packed = await readFile(this.#path(ref));
      const plain = await promisify(gunzip)(packed, { maxOutputLength: TEXT_BYTES_MAX });
      return plain.toString("utf8");
    } catch {
      return undefined;
    }
  }

  async remove(ref: string): Promise<void> {
    await rm(this.#path(ref), { force: true });
  }

  /** A ref is a client's text, so it is no file's name. */
  #path(ref: string): string {
    return join(this.#folder, `${hexOf(digestOf(ref)).slice(0, NAME_DIGITS)}${this.#ending}`);
  }
}
