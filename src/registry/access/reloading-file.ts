// A small configuration file that is read again when it changes, without a restart. It is looked at
// when somebody asks, at most once a second: file events are not reliable on network file systems
// and on mounts that swap a symbolic link (Kubernetes), and nobody asks while nothing happens. A
// file that became unreadable or wrong keeps its last good content in force, and is reported once.

import { readFile, stat } from "node:fs/promises";
import { GantryError, type Logger, messageOf } from "../../base/index.ts";

export class ReloadingFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T | Promise<T>;
  readonly #logger: Logger;
  readonly #checkMs: number;
  #content: { value: T } | undefined;
  #stamp = "";
  #complained = "";
  #checkedAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;

  constructor(
    path: string,
    parse: (text: string) => T | Promise<T>,
    { logger, checkMs = 1000 }: { logger: Logger; checkMs?: number },
  ) {
    this.#path = path;
    this.#parse = parse;
    this.#logger = logger;
    this.#checkMs = checkMs;
  }

  /** The content. Throws only while there has never been a good one. */
  async get(): Promise<T> {
    if (performance.now() - this.#checkedAt >= this.#checkMs) {
      this.#checking ??= this.#check().finally(() => {
        this.#checking = undefined;
      });
    }
    // Without content everybody waits; with some, only he who finds that a second has passed.
    if (this.#checking) await this.#checking;
    if (!this.#content) throw new GantryError("unavailable", `Read "${this.#path}": no content`);
    return this.#content.value;
  }

  /** Makes the next get() look at once. */
  expire(): void {
    this.#checkedAt = Number.NEGATIVE_INFINITY;
  }

  async #check(): Promise<void> {
    let stamp = "";
    try {
      const facts = await stat(this.#path, { bigint: true });
      stamp = `${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}`;
      if (stamp !== this.#stamp || !this.#content) {
        const value = await this.#parse(await readFile(this.#path, "utf8"));
        this.#content = { value };
        this.#stamp = stamp;
      }
      this.#complained = "";
    } catch (error) {
      if (!this.#content) {
        throw new GantryError("invalid", `Read "${this.#path}": ${messageOf(error)}`, {
          cause: error,
        });
      }
      const complaint = `${stamp} ${messageOf(error)}`;
      if (complaint !== this.#complained) {
        this.#logger.error("Keeping the last good content of a file", {
          path: this.#path,
          error,
        });
      }
      this.#complained = complaint;
    } finally {
      this.#checkedAt = performance.now();
    }
  }
}
