// Putting one blob into a repository: mount from another repository, or an upload session, in one
// streamed PATCH when the digest is not known before the end, or a single PUT when it is.

import { createHash } from "node:crypto";
import { type Readable, Transform } from "node:stream";
import { GantryError } from "../base/index.ts";
import { readBody } from "./http-exchange.ts";
import { pullScope, pushScope, type Registry } from "./registry.ts";
import { registryError } from "./registry-error.ts";

const BYTES = "application/octet-stream";

/** Returns whether the registry took the blob over from `from`. */
export async function mountBlob(
  registry: Registry,
  repository: string,
  digest: string,
  from: string,
): Promise<boolean> {
  const url = new URL(`/v2/${repository}/blobs/uploads/`, registry.base);
  url.searchParams.set("mount", digest);
  url.searchParams.set("from", from);
  const scopes = [pushScope(repository), pullScope(from)];
  const { response, url: at } = await registry.ask("POST", url, { scopes, body: Buffer.alloc(0) });
  response.resume();
  if (response.statusCode === 201) return true;
  const { location } = response.headers;
  if (response.statusCode === 202 && location) {
    await registry.ask("DELETE", new URL(location, at), { scopes: [pushScope(repository)] }).then(
      (cancelled) => cancelled.response.resume(),
      () => {},
    );
  }
  return false;
}

/** Uploads bytes whose digest is known. */
export async function putBlob(
  registry: Registry,
  repository: string,
  digest: string,
  bytes: Uint8Array,
): Promise<void> {
  const location = await openSession(registry, repository);
  location.searchParams.set("digest", digest);
  const { response } = await registry.expect([201], "PUT", location, {
    scopes: [pushScope(repository)],
    headers: { "Content-Type": BYTES, "Content-Length": String(bytes.length) },
    body: bytes,
  });
  response.resume();
}

/** Uploads a stream while its digest is computed; `wanted` is checked when it is given. */
export async function streamBlob(
  registry: Registry,
  repository: string,
  source: Readable,
  { wanted, onBytes }: { wanted?: string; onBytes?: (bytes: number) => void } = {},
): Promise<{ digest: string; size: number }> {
  const scopes = [pushScope(repository)];
  const location = await openSession(registry, repository);
  const meter = new DigestMeter(onBytes);
  source.once("error", (error) => meter.destroy(error));
  meter.once("close", () => source.destroy());
  const { response, url } = await registry.expect([202, 201, 204], "PATCH", location, {
    scopes,
    headers: { "Content-Type": BYTES, "Transfer-Encoding": "chunked" },
    body: source.pipe(meter),
  });
  response.resume();
  if (!meter.writableFinished) throw new GantryError("unavailable", "upload ended before its blob");
  const { digest, bytes: size } = meter.result();
  if (wanted !== undefined && wanted !== digest) {
    throw new GantryError("corrupt", `layer gives blob ${digest}, want ${wanted}`);
  }
  const commit = new URL(response.headers.location ?? location, url);
  commit.searchParams.set("digest", digest);
  const done = await registry.expect([201, 204], "PUT", commit, {
    scopes,
    headers: { "Content-Length": "0" },
    body: Buffer.alloc(0),
  });
  done.response.resume();
  return { digest, size };
}

async function openSession(registry: Registry, repository: string): Promise<URL> {
  const { response, url } = await registry.expect(
    [202],
    "POST",
    `/v2/${repository}/blobs/uploads/`,
    {
      scopes: [pushScope(repository)],
      headers: { "Content-Length": "0" },
      body: Buffer.alloc(0),
    },
  );
  response.resume();
  const { location } = response.headers;
  if (!location) throw new GantryError("internal", "registry gave no Location for an upload");
  return new URL(location, url);
}

/** Stores a manifest byte by byte under a tag or its digest. */
export async function putManifest(
  registry: Registry,
  repository: string,
  tagOrDigest: string,
  { raw, mediaType }: { raw: Uint8Array; mediaType: string },
): Promise<void> {
  const { response } = await registry.ask("PUT", `/v2/${repository}/manifests/${tagOrDigest}`, {
    scopes: [pushScope(repository)],
    headers: { "Content-Type": mediaType, "Content-Length": String(raw.length) },
    body: raw,
  });
  if (response.statusCode !== 201 && response.statusCode !== 200) {
    throw await registryError(response);
  }
  await readBody(response, 1 << 20);
}

/** Counts and hashes what passes. */
class DigestMeter extends Transform {
  bytes = 0;
  #hash = createHash("sha256");
  #onBytes: ((bytes: number) => void) | undefined;

  constructor(onBytes?: (bytes: number) => void) {
    super({ highWaterMark: 1 << 20 });
    this.#onBytes = onBytes;
  }
  override _transform(chunk: Buffer, _: string, done: (error: null, chunk: Buffer) => void): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    this.#onBytes?.(this.bytes);
    done(null, chunk);
  }
  result(): { digest: string; bytes: number } {
    return { digest: `sha256:${this.#hash.digest("hex")}`, bytes: this.bytes };
  }
}
