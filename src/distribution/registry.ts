// One registry, as one operation sees it: a base URL, credentials, and the verbs of the
// distribution spec 1.1. Answers are checked (digest, size, status) before anyone believes them.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import { Authorization } from "./authorization.ts";
import { goVerb, shown } from "./connection-error.ts";
import type { Credentials, Descriptor } from "./contract.ts";
import { dropBody, type Exchange, exchange, readBody } from "./http-exchange.ts";
import { isRegistryDigest } from "./manifest.ts";
import { MANIFEST_ACCEPT } from "./media-types.ts";
import { registryError } from "./registry-error.ts";
import type { Rename } from "./registry-rules.ts";
import { type RateLimit, rateLimitOf, retryAfterSeconds } from "./retry-after.ts";
import { retrying } from "./retrying.ts";
import type { Transport } from "./transport.ts";
import { isHiccup } from "./upload-rules.ts";

/** The spec asks for 4 MiB at least. */
export const manifestBytesMax = 8 << 20;
const tagsMax = 100_000;
const pagesMax = 1_000;
const retriesMax = 5;
const challengesMax = 2;
/** For a document, the first one counted; and the waits between them. */
const attemptsMax = 3;
const attemptDelaysMs = [250, 1_000];

export interface RegistryParts {
  base: URL; // https://registry-1.docker.io/
  transport: Transport;
  /** Either, or nobody in particular. */
  authorization?: Authorization;
  credentials?: Credentials;
  userAgent: string;
  signal?: AbortSignal;
  /** Its own names for repositories, where they differ. */
  rename?: Rename;
  /** Sent as ?ns=: the registry that is meant, for mirrors of several. */
  namespace?: string;
  /** Says what a tag means instead of this registry, which is only trusted with digests. */
  resolveTag?: (repository: string, tag: string) => Promise<string>;
  /** It did not answer in time. */
  onTimeout?: () => void;
  /** Another one is asked next: nothing is asked of this one twice. */
  hasFallback?: boolean;
}
export interface FetchedManifest {
  raw: Buffer;
  mediaType: string;
  digest: string;
}
export interface Ask {
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
  #parts: RegistryParts;
  #rateLimit: RateLimit | undefined;

  constructor(parts: RegistryParts) {
    const { transport, userAgent, credentials = {} } = parts;
    this.base = parts.base;
    this.#parts = parts;
    this.authorization =
      parts.authorization ?? new Authorization(credentials, { transport, userAgent });
  }

  /** The same registry for work that has an end of its own: a transfer that several share. */
  withSignal(signal: AbortSignal): Registry {
    return new Registry({ ...this.#parts, authorization: this.authorization, signal });
  }

  /** What the registry last said of how many pulls are left. */
  get rateLimit(): RateLimit | undefined {
    return this.#rateLimit;
  }

  /** The address of "/v2/<repository>/…" there, where the repository may have another name. */
  url(path: string): URL {
    const { rename } = this.#parts;
    const [, name, rest] =
      /^\/v2\/(.+)(\/(?:manifests|blobs|tags|referrers)\/.*)$/.exec(path) ?? [];
    const there = rename && name && rest ? `/v2/${rename(name)}${rest}` : path;
    return new URL(there, this.base);
  }

  /** A repository's name there. */
  nameOf(repository: string): string {
    return this.#parts.rename?.(repository) ?? repository;
  }

  #scope(scope: string): string {
    const [, name, actions] = /^repository:(.+):([^:]*)$/.exec(scope) ?? [];
    return name ? `repository:${this.nameOf(name)}:${actions}` : scope;
  }

  /** One request with its answer to a challenge and its wait for a limit. A path is one of our
   * names (see url()), a URL is one that the registry gave. */
  async ask(method: string, path: string | URL, request: Ask): Promise<Exchange> {
    const url = typeof path === "string" ? this.url(path) : new URL(path);
    const { namespace, signal } = this.#parts;
    // The host of a blob's URL or of an upload (an object store) gets no credentials.
    const own = url.origin === this.base.origin;
    if (own && namespace) url.searchParams.set("ns", namespace);
    const scopes = request.scopes.map((scope) => this.#scope(scope));
    let challenges = 0;
    for (let attempt = 0; ; attempt++) {
      const authorization = own ? await this.authorization.header(scopes, signal) : undefined;
      const exchanged = await this.#exchange(method, url, request, authorization);
      const { response } = exchanged;
      const { statusCode, headers } = response;
      this.#rateLimit = rateLimitOf(headers) ?? this.#rateLimit;
      // What was streamed is gone.
      if (request.body instanceof Readable || attempt >= retriesMax) return exchanged;
      if (statusCode === 401 && exchanged.url.origin === this.base.origin) {
        const challenge = headers["www-authenticate"];
        if (!challenge || ++challenges > challengesMax) return exchanged;
        const answering = this.authorization.answer(challenge, scopes, {
          from: exchanged.url,
          ...(authorization ? { stale: authorization } : {}),
          ...(signal ? { signal } : {}),
        });
        const answered = await answering.catch((error) => {
          throw refusedAt(method, url, error);
        });
        if (!answered) return exchanged;
      } else if (statusCode === 429 || statusCode === 503) {
        const seconds = retryAfterSeconds(headers);
        if (seconds === undefined) return exchanged;
        dropBody(response);
        await delay(seconds * 1000, undefined, signal ? { signal } : {});
        continue;
      } else return exchanged;
      dropBody(response);
    }
  }

  async #exchange(
    method: string,
    url: URL,
    { headers, body, followRedirects }: Ask,
    authorization: string | undefined,
  ): Promise<Exchange> {
    const { transport, userAgent, signal, onTimeout } = this.#parts;
    try {
      return await exchange({
        method,
        url,
        transport: url.origin === this.base.origin ? transport : transport.stranger,
        headers: {
          "User-Agent": userAgent,
          ...headers,
          ...(authorization ? { Authorization: authorization } : {}),
        },
        ...(body === undefined ? {} : { body }),
        ...(followRedirects === false ? { followRedirects: false } : {}),
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      if (error instanceof GantryError && error.kind === "timeout") onTimeout?.();
      throw error;
    }
  }

  /** What the registry asks of a stranger: its WWW-Authenticate, or nothing. */
  async challenge(): Promise<string> {
    const { response } = await this.#exchange("GET", this.url("/v2/"), { scopes: [] }, undefined);
    dropBody(response);
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
    const { resolveTag } = this.#parts;
    const named = tagOrDigest.includes(":") ? tagOrDigest : undefined;
    const asked = named ?? (await resolveTag?.(repository, tagOrDigest));
    const path = manifestPath(repository, asked ?? tagOrDigest);
    const { response, raw } = await this.#patiently(async () => {
      const { response } = await this.expect([200], "GET", path, {
        headers: { Accept: MANIFEST_ACCEPT },
        scopes: [pullScope(repository)],
      });
      return { response, raw: await readBody(response, manifestBytesMax) };
    });
    const digest = asked ?? digestOf(raw);
    const told = response.headers["docker-content-digest"];
    for (const want of [asked, typeof told === "string" ? told : undefined]) {
      if (want !== undefined) checkDigest(raw, want);
    }
    return { raw, mediaType: response.headers["content-type"] ?? "", digest };
  }

  /** The digest of a tag without its manifest, where the registry tells it. */
  async manifestDigest(repository: string, tag: string): Promise<Descriptor | undefined> {
    if (this.#parts.resolveTag && !tag.includes(":")) return undefined;
    const { response } = await this.ask("HEAD", manifestPath(repository, tag), {
      headers: { Accept: MANIFEST_ACCEPT },
      scopes: [pullScope(repository)],
    });
    dropBody(response);
    const digest = response.headers["docker-content-digest"];
    if (response.statusCode !== 200 || typeof digest !== "string") return undefined;
    if (!isRegistryDigest(digest)) return undefined;
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
    const raw = await this.#patiently(async () => {
      const { response } = await this.blob(repository, descriptor);
      return await readBody(response, descriptor.size, { encoded: true });
    });
    checkDigest(raw, descriptor.digest);
    return raw;
  }

  #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { hasFallback = false, signal = new AbortController().signal } = this.#parts;
    if (hasFallback) return work();
    return retrying(work, {
      attemptsMax,
      delaysMs: attemptDelaysMs,
      mayPass: isHiccup,
      signal,
    });
  }

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    const { response } = await this.ask("HEAD", blobPath(repository, digest), {
      scopes: [pushScope(repository)],
    });
    if (response.statusCode !== 200 && response.statusCode !== 404) {
      throw await registryError(response);
    }
    dropBody(response);
    return response.statusCode === 200;
  }

  /** Every tag of a repository, following the pages. */
  async tags(repository: string): Promise<string[]> {
    const tags: string[] = [];
    for await (const page of this.pages(`/v2/${repository}/tags/list`, pullScope(repository))) {
      const { tags: some } = page as { tags?: unknown };
      const found = Array.isArray(some) ? some : [];
      for (const tag of found) tags.push(checkedTag(tag));
      if (tags.length > tagsMax) throw new GantryError("invalid", `more than ${tagsMax} tags`);
    }
    return tags;
  }

  /** The JSON documents of a listing, following its Link headers. */
  async *pages(
    path: string,
    scope: string,
    headers: Record<string, string> = {},
  ): AsyncGenerator<Record<string, unknown>> {
    let next: URL | undefined = this.url(path);
    const seen = new Set<string>();
    while (next !== undefined) {
      seen.add(next.href);
      if (seen.size > pagesMax) throw new GantryError("invalid", `more than ${pagesMax} pages`);
      const page: URL = next;
      const { response, raw } = await this.#patiently(async () => {
        const { response } = await this.expect([200], "GET", page, { scopes: [scope], headers });
        return { response, raw: await readBody(response, manifestBytesMax) };
      });
      yield parsePage(raw);
      const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(response.headers["link"] ?? ""))?.[1];
      const following: URL | undefined = link === undefined ? undefined : new URL(link, next);
      next = following && seen.has(following.href) ? undefined : following;
    }
  }
}

/** It becomes part of an address and of a name. */
function checkedTag(tag: unknown): string {
  if (typeof tag === "string" && /^\w[\w.-]{0,127}$/.test(tag)) return tag;
  const shown = JSON.stringify(tag)?.slice(0, 200);
  throw new GantryError("invalid", `registry lists a tag that is none: ${shown}`);
}

/** With what was asked for, as Go tells it of reading requests. */
function refusedAt(method: string, url: URL, error: unknown): unknown {
  if (!(error instanceof GantryError) || error.kind !== "unauthorized") return error;
  if (method !== "GET" && !url.pathname.includes("/manifests/")) return error;
  const message = `${goVerb(method)} "${shown(url)}": ${error.message}`;
  return new GantryError("unauthorized", message, { cause: error, detail: error.detail });
}

function parsePage(raw: Buffer): Record<string, unknown> {
  let page: unknown;
  try {
    page = JSON.parse(raw.toString("utf8"));
  } catch (cause) {
    throw new GantryError("corrupt", "the registry's list is not valid JSON", { cause });
  }
  if (typeof page === "object" && page !== null) return page as Record<string, unknown>;
  throw new GantryError("corrupt", "the registry's list is not an object");
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
