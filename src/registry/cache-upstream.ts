// The other registries of a pull-through cache, with our own credentials: what is asked of them and
// what their answers mean to our clients. Whether one of them can be reached is remembered for a
// moment, so that a dead one costs patience once and not with every pull.

import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError, kindOf, messageOf } from "../base/index.ts";
import { type Credentials, Registries } from "../distribution/index.ts";
import { isHub } from "./cache-names.ts";
import type { CacheSettings, CacheUpstream } from "./cache-options.ts";
import type { Referrer } from "./contract.ts";
import { RegistryError, type RegistryErrorCode } from "./errors.ts";
import { isDigest } from "./names.ts";

type Registry = Awaited<ReturnType<Registries["open"]>>;

/** How long an opened registry is kept: an insecure one is asked each time it is opened. */
const openForMs = 60_000;
const attemptsMax = 5;
const backoffMs = 250;
const referrersMax = 10_000;

export class Upstreams {
  readonly registries: Registries;
  #settings: CacheSettings;
  #opened = new Map<CacheUpstream, { registry: Promise<Registry>; at: number }>();
  #restsUntil = new Map<CacheUpstream, number>();

  constructor(settings: CacheSettings, userAgent: string) {
    this.#settings = settings;
    this.registries = new Registries({
      insecureRegistries: [...(settings.insecureRegistries ?? [])],
      certificateFolders: [...(settings.certificateFolders ?? [])],
      mirrors: [],
      maxConcurrentDownloads: settings.downloadsMax,
      maxConcurrentUploads: 1,
      maxDownloadAttempts: attemptsMax,
      userAgent,
    });
  }

  isResting(upstream: CacheUpstream): boolean {
    return (this.#restsUntil.get(upstream) ?? 0) > Date.now();
  }

  /** Runs `work` at the upstream. Throws RegistryError: what our client is to be told. */
  async ask<T>(
    upstream: CacheUpstream,
    signal: AbortSignal,
    work: (registry: Registry) => Promise<T>,
  ): Promise<T> {
    try {
      const registry = await this.#open(upstream);
      signal.throwIfAborted();
      const answer = await work(registry.withSignal(signal));
      this.#restsUntil.delete(upstream);
      return answer;
    } catch (error) {
      const told = toldOf(upstream, error);
      const isOutage = told.code === "UNAVAILABLE" || told.code === "TOOMANYREQUESTS";
      if (isOutage && !["corrupt", "invalid"].includes(kindOf(error))) {
        this.#restsUntil.set(upstream, Date.now() + this.#settings.restMs);
      }
      throw told;
    }
  }

  #open(upstream: CacheUpstream): Promise<Registry> {
    const known = this.#opened.get(upstream);
    if (known !== undefined && Date.now() - known.at < openForMs) return known.registry;
    const host = isHub(upstream) ? "docker.io" : upstream.registry;
    const registry = credentialsOf(upstream).then((credentials) =>
      this.registries.open(host, { credentials }),
    );
    registry.catch(() => this.#opened.delete(upstream));
    this.#opened.set(upstream, { registry, at: Date.now() });
    return registry;
  }
}

async function credentialsOf(upstream: CacheUpstream): Promise<Credentials> {
  const { username, passwordFile, identityToken } = upstream;
  let { password } = upstream;
  if (passwordFile !== undefined) {
    try {
      password = (await readFile(passwordFile, "utf8")).replace(/\r?\n$/, "");
    } catch (cause) {
      const why = `cannot read the password of ${upstream.registry}: ${passwordFile}`;
      throw new GantryError("unavailable", why, { cause });
    }
  }
  return {
    ...(username && password ? { username, password } : {}),
    ...(identityToken ? { identityToken } : {}),
  };
}

/** The size of a blob. */
export async function blobSize(
  registry: Registry,
  repository: string,
  digest: string,
): Promise<number> {
  const { response } = await registry.expect([200], "HEAD", `/v2/${repository}/blobs/${digest}`, {
    scopes: [`repository:${repository}:pull`],
  });
  response.resume();
  const length = response.headers["content-length"];
  const size = Number(length);
  if (length !== undefined && Number.isSafeInteger(size)) return size;
  throw new GantryError("unavailable", `it does not say how large ${digest} is`);
}

/** The bytes of a blob from one to another (inclusive). A connection that breaks is taken up again
 * where it broke. Nothing is verified here. */
export async function* blobBytes(
  registry: Registry,
  { repository, digest }: { repository: string; digest: string },
  { start, end, signal }: { start: number; end: number; signal: AbortSignal },
): AsyncGenerator<Buffer> {
  const blob = { mediaType: "", digest, size: end + 1 };
  let at = start;
  for (let attempt = 1; at <= end; attempt++) {
    const before = at;
    let response: IncomingMessage | undefined;
    try {
      const whole = at === 0 && start === 0;
      const answer = await registry.blob(repository, blob, whole ? {} : { from: at, to: end + 1 });
      response = answer.response;
      let skip = at - answer.offset;
      if (answer.offset < 0 || skip < 0) {
        throw new GantryError("unavailable", "it answered with a range that was not asked for");
      }
      for await (const chunk of response as AsyncIterable<Buffer>) {
        const fresh = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        const wanted = fresh.subarray(0, end + 1 - at);
        at += wanted.length;
        yield wanted;
        if (wanted.length < fresh.length && start === 0) throw tooLong(digest);
        if (at > end) return;
      }
      throw new GantryError("unavailable", `it cut blob ${digest} short`);
    } catch (error) {
      if (signal.aborted || kindOf(error) === "corrupt" || isFinal(error)) throw error;
      if (at > before) attempt = 1;
      if (attempt >= attemptsMax) throw error;
    } finally {
      response?.destroy();
    }
    await delay(backoffMs * 2 ** (attempt - 1), undefined, { signal });
  }
}

/** The referrers of a digest; undefined where the registry has no such list. */
export async function referrersOf(
  registry: Registry,
  repository: string,
  digest: string,
): Promise<Referrer[] | undefined> {
  const found: Referrer[] = [];
  const path = `/v2/${repository}/referrers/${digest}`;
  try {
    for await (const page of registry.pages(path, `repository:${repository}:pull`)) {
      const { manifests } = page as { manifests?: unknown };
      if (!Array.isArray(manifests)) return undefined;
      for (const entry of manifests) if (isReferrer(entry)) found.push(entry);
      if (found.length > referrersMax) {
        throw new GantryError("invalid", `more than ${referrersMax} referrers`);
      }
    }
  } catch (error) {
    if (error instanceof GantryError && [404, 405].includes(error.detail["status"] as number)) {
      return undefined;
    }
    throw error;
  }
  return found;
}

function isReferrer(value: unknown): value is Referrer {
  if (typeof value !== "object" || value === null) return false;
  const { mediaType, digest, size, artifactType = "" } = value as Record<string, unknown>;
  return (
    typeof mediaType === "string" &&
    isDigest(digest) &&
    Number.isSafeInteger(size) &&
    typeof artifactType === "string"
  );
}

function tooLong(digest: string): GantryError {
  return new GantryError("corrupt", `blob ${digest} is longer than the registry said`);
}

/** An answer that another try would not change. */
function isFinal(error: unknown): boolean {
  const status = error instanceof GantryError ? error.detail["status"] : undefined;
  return typeof status === "number" && status < 500;
}

const CODES: Record<string, RegistryErrorCode> = {
  "not-found": "MANIFEST_UNKNOWN",
  unauthorized: "DENIED",
  forbidden: "DENIED",
  exhausted: "TOOMANYREQUESTS",
};

/** What our client is told of an upstream's failure. A 401 there would make it ask its own user. */
export function toldOf({ registry }: CacheUpstream, error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  const detail = error instanceof GantryError ? error.detail : {};
  const code = CODES[kindOf(error)] ?? "UNAVAILABLE";
  const retryAfter = detail["retryAfter"];
  const headers: Record<string, string> =
    typeof retryAfter === "string" ? { "Retry-After": retryAfter } : {};
  return new RegistryError(code, `upstream ${registry}: ${messageOf(error)}`, {
    cause: error,
    detail: { upstream: registry },
    headers: code === "TOOMANYREQUESTS" || code === "UNAVAILABLE" ? headers : {},
  });
}
