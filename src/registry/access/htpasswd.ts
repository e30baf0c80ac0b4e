// A password file as `htpasswd -B` writes it: one `name:hash` a line, bcrypt only. The answer for
// an unknown name costs as much as for a known one. A password that was right is remembered for a
// short time under a keyed hash (random key of this process), so that a client that sends Basic
// with each of its hundred requests is hashed once.

import { createHmac, randomBytes } from "node:crypto";
import { GantryError, type Logger } from "../../base/index.ts";
import { hashPassword, verifyPassword } from "./bcrypt.ts";
import type { HtpasswdOptions } from "./options.ts";
import { ReloadingFile } from "./reloading-file.ts";

const rememberedMax = 10_000;
const passwordBytesMax = 1024;
const costMax = 16; // 4 s of a processor; a larger one is a mistake or an attack

/** Lines of the file as a map from name to hash. Throws on what is not bcrypt, with its line. */
export function parseHtpasswd(text: string): Map<string, string> {
  const users = new Map<string, string>();
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    const hash = line.slice(colon + 1);
    if (colon < 1 || hash === "") {
      throw new GantryError("invalid", `Line ${index + 1} is not name:hash`);
    }
    const cost = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(hash)?.[1];
    if (cost === undefined) {
      throw new GantryError(
        "invalid",
        `Line ${index + 1} (user "${name}") is not a bcrypt hash: make it with htpasswd -B`,
      );
    }
    if (Number(cost) < 4 || Number(cost) > costMax) {
      throw new GantryError(
        "invalid",
        `Line ${index + 1} (user "${name}"): cost ${cost} is not 4–16`,
      );
    }
    users.set(name, hash);
  }
  return users;
}

export class Htpasswd {
  readonly realm: string;
  readonly #file: ReloadingFile<Map<string, string>>;
  readonly #cacheMs: number;
  readonly #key = randomBytes(32);
  readonly #right = new Map<string, number>(); // keyed hash → until when (performance.now)
  readonly #asking = new Map<string, Promise<boolean>>();
  #decoy: Promise<string> | undefined;

  constructor(options: HtpasswdOptions, { logger }: { logger: Logger }) {
    this.realm = options.realm ?? "Registry";
    this.#cacheMs = options.cacheMs ?? 60_000;
    this.#file = new ReloadingFile(options.file, parseHtpasswd, { logger });
  }

  /** Throws when the file cannot be read or is wrong: for the start. */
  async check(): Promise<void> {
    await this.#file.get();
  }

  /** A mark of the user's present password; undefined when there is no such user. */
  async fingerprint(name: string): Promise<string | undefined> {
    const hash = (await this.#file.get()).get(name);
    if (hash === undefined) return undefined;
    return createHmac("sha256", "gantry refresh token")
      .update(hash)
      .digest("base64url")
      .slice(0, 22);
  }

  /** Whether this is the user's password. `beforeHashing` is called as the work is
   * asked for and as it begins, and may throw to save it. */
  async verify(name: string, password: string, beforeHashing?: () => void): Promise<boolean> {
    const users = await this.#file.get();
    const known = users.get(name);
    // bcrypt reads to the first NUL and no further than 72 bytes.
    const sane = !password.includes("\0") && Buffer.byteLength(password) <= passwordBytesMax;
    const hash = sane ? known : undefined;
    const key = createHmac("sha256", this.#key)
      .update(JSON.stringify([name, password, hash ?? ""]))
      .digest("base64");
    const now = performance.now();
    const until = this.#right.get(key);
    if (until !== undefined && until > now) return true;
    beforeHashing?.();
    let answer = this.#asking.get(key);
    if (!answer) {
      answer = this.#verify(sane ? password : "", { hash, users, beforeHashing }).finally(() =>
        this.#asking.delete(key),
      );
      this.#asking.set(key, answer);
    }
    const right = await answer;
    if (right && this.#cacheMs > 0) this.#remember(key, now + this.#cacheMs);
    return right;
  }

  async #verify(
    password: string,
    {
      hash,
      users,
      beforeHashing,
    }: {
      hash: string | undefined;
      users: Map<string, string>;
      beforeHashing: (() => void) | undefined;
    },
  ): Promise<boolean> {
    if (hash !== undefined) return verifyPassword(password, hash, beforeHashing);
    // Somebody's own hash has the cost that the file's users have; the result is thrown away.
    const other = users.values().next().value;
    this.#decoy ??= hashPassword(randomBytes(16).toString("hex"));
    await verifyPassword(password, other ?? (await this.#decoy), beforeHashing);
    return false;
  }

  #remember(key: string, until: number): void {
    this.#right.delete(key);
    if (this.#right.size >= rememberedMax) {
      for (const oldest of this.#right.keys()) {
        this.#right.delete(oldest);
        break;
      }
    }
    this.#right.set(key, until);
  }
}
