// The private keys of the built-in token service: one JWKS file, mode 0600, that the processes of a
// registry share. The newest key signs; older ones verify until everything they signed has expired,
// then they go. A lock file serialises those who write; who finds a key id that it does not know
// looks at the file again, since another process may have rotated a moment ago.

import { link, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { GantryError, type Logger, writeFileAtomic } from "../../base/index.ts";
import { ReloadingFile } from "./reloading-file.ts";

export type SigningAlgorithm = "ES256" | "RS256";

export interface SigningKey {
  kid: string;
  alg: SigningAlgorithm;
  createdAt: number; // seconds
  secret: CryptoKey;
  public: CryptoKey;
  publicJwk: JWK;
}

const lockMsMax = 30_000;
const daySeconds = 86_400;

export class SigningKeys {
  readonly #path: string;
  readonly #file: ReloadingFile<SigningKey[]>;
  readonly #algorithm: SigningAlgorithm;
  readonly #rotateSeconds: number;
  readonly #retireSeconds: number;
  readonly #now: () => number;
  readonly #logger: Logger;
  #rotating: Promise<void> | undefined;

  /** `retireSeconds`: the longest life of anything signed. `now` in seconds. */
  constructor(options: {
    file: string;
    algorithm?: SigningAlgorithm;
    rotateDays?: number;
    retireSeconds: number;
    now?: () => number;
    logger: Logger;
  }) {
    this.#path = options.file;
    this.#algorithm = options.algorithm ?? "ES256";
    this.#rotateSeconds = (options.rotateDays ?? 90) * daySeconds;
    this.#retireSeconds = options.retireSeconds;
    this.#now = options.now ?? (() => Date.now() / 1000);
    this.#logger = options.logger;
    this.#file = new ReloadingFile(options.file, parseKeys, { logger: options.logger });
  }

  /** Makes the file when there is none. */
  async open(): Promise<void> {
    const present = await stat(this.#path).catch(() => undefined);
    if (!present) {
      await mkdir(dirname(this.#path), { recursive: true });
      await writeNew(this.#path, keyFile([await newKey(this.#algorithm, this.#now())]));
    } else if (present.mode & 0o077) {
      this.#logger.warn("Others can read the private keys of the token service", {
        path: this.#path,
      });
    }
    await this.#file.get();
  }

  /** The key that signs now. Rotates when its time has come. */
  async signing(): Promise<SigningKey> {
    const newest = newestOf(await this.#file.get());
    if (!this.#rotateSeconds || this.#now() - newest.createdAt < this.#rotateSeconds) return newest;
    this.#rotating ??= this.rotate()
      .catch((error) => this.#logger.error("Cannot rotate the keys of tokens", { error }))
      .finally(() => {
        this.#rotating = undefined;
      });
    await this.#rotating;
    return newestOf(await this.#file.get());
  }

  /** The public key with this id; undefined when nobody has it. */
  async find(kid: string): Promise<SigningKey | undefined> {
    const known = (await this.#file.get()).find((key) => key.kid === kid);
    if (known) return known;
    this.#file.expire();
    return (await this.#file.get()).find((key) => key.kid === kid);
  }

  /** For those who verify elsewhere. */
  async publicKeys(): Promise<{ keys: JWK[] }> {
    return { keys: (await this.#file.get()).map((key) => key.publicJwk) };
  }

  /** A new key signs from now on. Another process that did the same a moment ago counts. */
  async rotate({ force = false } = {}): Promise<void> {
    await this.#locked(async () => {
      this.#file.expire();
      const keys = await this.#file.get();
      const now = this.#now();
      if (!force && now - newestOf(keys).createdAt < this.#rotateSeconds) return;
      const added = await newKey(this.#algorithm, now);
      // A key was in use until its successor came.
      const sorted = keys.toSorted((one, other) => other.createdAt - one.createdAt);
      const kept = sorted.filter((_, index) => {
        const replacedAt = index === 0 ? now : sorted[index - 1]!.createdAt;
        return now - replacedAt < this.#retireSeconds;
      });
      const secrets = await Promise.all(kept.map((key) => secretJwk(key)));
      await writeFileAtomic(this.#path, keyFile([added, ...secrets]), { mode: 0o600 });
      this.#file.expire();
      this.#logger.info("A new key signs tokens", { kid: added.kid, path: this.#path });
    });
  }

  async #locked(work: () => Promise<void>): Promise<void> {
    const lock = `${this.#path}.lock`;
    try {
      await writeFile(lock, String(process.pid), { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const age = Date.now() - ((await stat(lock).catch(() => undefined))?.mtimeMs ?? Date.now());
      if (age < lockMsMax) return; // somebody is at it: his key will do
      await rm(lock, { force: true });
      return this.#locked(work);
    }
    try {
      await work();
    } finally {
      await rm(lock, { force: true });
    }
  }
}

interface SecretJwk extends JWK {
  kid: string;
  alg: SigningAlgorithm;
  iat: number;
}

async function newKey(alg: SigningAlgorithm, now: number): Promise<SecretJwk> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 3072 });
  const jwk = await exportJWK(privateKey);
  const kid = Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("base64url");
  return { ...jwk, kid, alg, use: "sig", iat: Math.floor(now) };
}

async function secretJwk(key: SigningKey): Promise<SecretJwk> {
  const jwk = await exportJWK(key.secret);
  return { ...jwk, kid: key.kid, alg: key.alg, use: "sig", iat: key.createdAt };
}

function keyFile(keys: SecretJwk[]): string {
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

/** Two processes that start at once must end with the same file: the first link wins. */
async function writeNew(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.${crypto.randomUUID()}.tmp`;
  await writeFileAtomic(temporary, text, { mode: 0o600 });
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function parseKeys(text: string): Promise<SigningKey[]> {
  const keys = (JSON.parse(text) as { keys?: SecretJwk[] }).keys ?? [];
  if (keys.length === 0) throw new GantryError("invalid", "It has no keys");
  return Promise.all(keys.map(parseKey));
}

async function parseKey(jwk: SecretJwk): Promise<SigningKey> {
  if (typeof jwk.kid !== "string" || (jwk.alg !== "ES256" && jwk.alg !== "RS256")) {
    throw new GantryError("invalid", 'A key needs "kid", and "alg" ES256 or RS256');
  }
  const { kty, crv, x, y, n, e } = jwk;
  const publicJwk: JWK = JSON.parse(
    JSON.stringify({ kty, crv, x, y, n, e, kid: jwk.kid, alg: jwk.alg, use: "sig" }),
  );
  return {
    kid: jwk.kid,
    alg: jwk.alg,
    createdAt: typeof jwk.iat === "number" ? jwk.iat : 0,
    secret: (await importJWK(jwk, jwk.alg, { extractable: true })) as CryptoKey,
    public: (await importJWK(publicJwk, jwk.alg)) as CryptoKey,
    publicJwk,
  };
}

function newestOf(keys: readonly SigningKey[]): SigningKey {
  return keys.reduce((newest, key) => (key.createdAt > newest.createdAt ? key : newest));
}
