// Refresh tokens that were revoked before their time: ids with the second when they would have
// expired anyway, in a file that the processes of a registry share.

import { readFile } from "node:fs/promises";
import { GantryError, KeyedMutex, type Logger, writeFileAtomic } from "../../base/index.ts";
import { ReloadingFile } from "./reloading-file.ts";

const revokedMax = 100_000;

export class Revocations {
  readonly #path: string;
  readonly #file: ReloadingFile<Map<string, number>>;
  readonly #mutex = new KeyedMutex();

  constructor(path: string, { logger }: { logger: Logger }) {
    this.#path = path;
    this.#file = new ReloadingFile(path, parse, { logger });
  }

  async open(): Promise<void> {
    try {
      await readFile(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      await writeFileAtomic(this.#path, "{}\n");
    }
    await this.#file.get();
  }

  async has(id: string): Promise<boolean> {
    return (await this.#file.get()).has(id);
  }

  /** `expiresAt` and `now` in seconds. */
  async add(id: string, expiresAt: number, now: number): Promise<void> {
    await this.#mutex.run("file", async () => {
      const revoked = parse(await readFile(this.#path, "utf8"));
      for (const [known, until] of revoked) if (until < now) revoked.delete(known);
      if (revoked.size >= revokedMax) {
        throw new GantryError(
          "exhausted",
          `"${this.#path}" is full: rotate the token keys instead`,
        );
      }
      revoked.set(id, expiresAt);
      await writeFileAtomic(this.#path, `${JSON.stringify(Object.fromEntries(revoked))}\n`);
      this.#file.expire();
    });
  }
}

function parse(text: string): Map<string, number> {
  return new Map(
    Object.entries(JSON.parse(text) as Record<string, unknown>).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    ),
  );
}
