// One registry, as one operation sees it: a base URL, credentials, and the verbs of the
// distribution spec 1.1. Answers are checked (digest, size, status) before anyone believes them.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import { Authorization } from "./authorization.ts";
import type { Credentials, Descriptor } from "./contract.ts";
import { type Exchange, exchange, readBody, type TlsTrust } from "./http-exchange.ts";
import { MANIFEST_ACCEPT } from "./media-types.ts";
import { registryError } from "./registry-error.ts";

/** The spec asks for 4 MiB at least. */
export const manifestBytesMax = 8 << 20;
const tagsMax = 100_000;
const retriesMax = 5;
const retryAfterSecondsMax = 60;

export interface RegistryParts {
  base: URL; // https://registry-1.docker.io/
  tls: TlsTrust;
  credentials: Credentials;
  userAgent: string;
  signal?: AbortSignal;
  /** Of another operation on the same registry: its tokens are good here too. */
  authorization?: Authorization;
}
export interface FetchedManifest {
  raw: Buffer;
  mediaType: string;
  digest: string;
}
interface Ask {
  headers?: Record<string, string>;
  body?: Uint8Array | Readable;
  scopes: readonly string[];
  followRedirects?: boolean;
}

export const pullScope = (repository: string): string => `repository:${repository}:pull`;
export const pushScope = (repository: string): string => `repository:${repository}:pull,push`;

export class Registry {
  readonly base: URL;
  readonly authorization: Authorization;
  #tls: TlsTrust;
  #userAgent: string;
  #signal: AbortSignal | undefined;

  #parts: RegistryParts;

  constructor(parts: RegistryParts) {
    const { base, tls, credentials, userAgent, signal } = parts;
    this.#parts = parts;
    this.base = base;
    this.#tls = tls;
    this.#userAgent = userAgent;
    this.#signal = signal;
    this.authorization = parts.authorization ?? new Authorization(credentials, { tls, userAgent });
  }

  /** The same registry for work that has an end of its own: a transfer that several share. */
  withSignal(signal: AbortSignal): Registry {
    return new Registry({ ...this.#parts, authorization: this.authorization, signal });
  }

  /** One request with its answer to a challenge and its wait for a limit. */
  async ask(method: string, path: string | URL, request: Ask): Promise<Exchange> {
    const url = typeof path === "string" ? new URL(path, this.base) : path;
    const scope = request.scopes.join(" ");
    const signal = this.#signal;
    for (let attempt = 0; ; attempt++) {
      // A body's URL of another host (an upload at an object store) gets no credentials.
      const own = url.origin === this.base.origin;
      const authorization = own ? await this.authorization.header(scope) : undefined;
      const exchanged = await exchange({
        method,
        url,
        tls: this.#tls,
        headers: {
          "User-Agent": this.#userAgent,
          ...request.headers,
          ...(authorization ? { Authorization: authorization } : {}),
        },
        ...(request.body === undefined ? {} : { body: request.body }),
        ...(request.followRedirects === false ? { followRedirects: false } : {}),
        ...(signal ? { signal } : {}),
      });
      const { response } = exchanged;
      const again = request.body === undefined || request.body instanceof Uint8Array;
      if (!again || attempt >= retriesMax) return exchanged;
      if (response.statusCode === 401 && own) {
        const challenge = response.headers["www-authenticate"];
        if (!challenge || attempt > 1) return exchanged;
        const answered = await this.authorization.answer(challenge, request.scopes, {
          from: url,
          ...(authorization ? { stale: authorization } : {}),
          ...(signal ? { signal } : {}),
        });
        if (!answered) return exchanged;
      } else if (response.statusCode === 429) {
        const seconds = retryAfterSeconds(response.headers["retry-after"]);
        if (seconds === undefined) return exchanged;
        await delay(seconds * 1000, undefined, signal ? { signal } : {});
      } else return exchanged;
      response.resume();
    }
  }

  /** What the registry asks of a stranger: its WWW-Authenticate, or nothing. */
  async challenge(): Promise<string> {
    const url = new URL("/v2/", this.base);
    const headers = { "User-Agent": this.#userAgent };
    const signal = this.#signal ? { signal: this.#signal } : {};
    const { response } = await exchange({ method: "GET", url, headers, tls: this.#tls, ...signal });
    response.resume();
    return response.headers["www-authenticate"] ?? "";
  }

  /** As ask(); throws the registry's error unless the status is one of `expected`. */
  async expect(
    expected: readonly number[],
    method: string,
    path: string | URL,
    request: Ask,
  ): Promise<Exchange> {
    const exchanged = await this.ask(method, path, request);
    if (expected.includes(exchanged.response.statusCode ?? 0)) return exchanged;
    throw await registryError(exchanged.response);
  }

  /** Fetches a manifest by tag or digest and checks it against the digest, asked or told. */
  async manifest(repository: string, tagOrDigest: string): Promise<FetchedManifest> {
    const { response } = await this.expect([200], "GET", manifestPath(repository, tagOrDigest), {
      headers: { Accept: MANIFEST_ACCEPT },
      scopes: [pullScope(repository)],
    });
    const raw = await readBody(response, manifestBytesMax);
    const asked = tagOrDigest.includes(":") ? tagOrDigest : undefined;
    const digest = asked ?? digestOf(raw);
    const told = response.headers["docker-content-digest"];
    for (const want of [asked, typeof told === "string" ? told : undefined]) {
      if (want !== undefined) checkDigest(raw, want);
    }
    return { raw, mediaType: response.headers["content-type"] ?? "", digest };
  }

  /** The digest of a tag without its manifest, where the registry tells it. */
  async manifestDigest(repository: string, tag: string): Promise<Descriptor | undefined> {
    const { response } = await this.ask("HEAD", manifestPath(repository, tag), {
      headers: { Accept: MANIFEST_ACCEPT },
      scopes: [pullScope(repository)],
    });
    response.resume();
    const digest = response.headers["docker-content-digest"];
    if (response.statusCode !== 200 || typeof digest !== "string") return undefined;
    const mediaType = response.headers["content-type"] ?? "";
    return { mediaType, digest, size: Number(response.headers["content-length"] ?? 0) };
  }

  /** Starts reading a blob at a byte, to a byte (exclusive) or its end; without `from` no range is
   * asked for. `offset` of the answer is where it really begins, -1 where that makes no sense. */
  async blob(
    repository: string,
    { digest, urls = [] }: Descriptor,
    { from, to }: { from?: number; to?: number } = {},
  ): Promise<{ response: IncomingMessage; offset: number }> {
    const path = urls[0] === undefined ? blobPath(repository, digest) : new URL(urls[0]);
    const { response } = await this.expect([200, 206], "GET", path, {
      headers:
        from === undefined ? {} : { Range: `bytes=${from}-${to === undefined ? "" : to - 1}` },
      scopes: [pullScope(repository)],
    });
    if (response.statusCode === 200) return { response, offset: 0 };
    const start = /^bytes (\d+)-/.exec(response.headers["content-range"] ?? "")?.[1];
    return { response, offset: Number(start ?? -1) };
  }

  /** A small blob whole, checked. */
  async smallBlob(repository: string, descriptor: Descriptor): Promise<Buffer> {
    const { response } = await this.blob(repository, descriptor);
    const raw = await readBody(response, descriptor.size);
    checkDigest(raw, descriptor.digest);
    return raw;
  }

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    const { response } = await this.ask("HEAD", blobPath(repository, digest), {
      scopes: [pushScope(repository)],
    });
    response.resume();
    if (response.statusCode === 404) return false;
    if (response.statusCode === 200) return true;
    throw await registryError(response);
  }

  /** Every tag of a repository, following the pages. */
  async tags(repository: string): Promise<string[]> {
    const tags: string[] = [];
    let next: URL | undefined = new URL(`/v2/${repository}/tags/list`, this.base);
    while (next !== undefined) {
      const { response } = await this.expect([200], "GET", next, {
        scopes: [pullScope(repository)],
      });
      const page = JSON.parse((await readBody(response, manifestBytesMax)).toString()) as {
        tags?: unknown;
      };
      const found = Array.isArray(page.tags) ? page.tags : [];
      tags.push(...found.filter((tag): tag is string => typeof tag === "string"));
      if (tags.length > tagsMax) throw new GantryError("invalid", `more than ${tagsMax} tags`);
      const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(response.headers["link"] ?? ""))?.[1];
      const following: URL | undefined = link === undefined ? undefined : new URL(link, next);
      next = following?.href === next.href ? undefined : following;
    }
    return tags;
  }
}

/** Throws corrupt when the bytes are not what the digest says. */
export function checkDigest(raw: Uint8Array, want: string): void {
  const [algorithm = "", hex] = want.split(":");
  if (algorithm !== "sha256" && algorithm !== "sha512") {
    throw new GantryError("invalid", `unsupported digest algorithm: ${want}`);
  }
  if (createHash(algorithm).update(raw).digest("hex") === hex) return;
  throw new GantryError("corrupt", `content verification failed for digest ${want}`);
}

const manifestPath = (repository: string, tagOrDigest: string): string =>
  `/v2/${repository}/manifests/${tagOrDigest}`;
const blobPath = (repository: string, digest: string): string =>
  `/v2/${repository}/blobs/${digest}`;

/** Undefined when the wait is too long to be worth it. */
function retryAfterSeconds(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return seconds >= 0 && seconds <= retryAfterSecondsMax ? seconds : undefined;
}
