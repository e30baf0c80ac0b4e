// What a push sends beside the content of blobs: requests for a blob of another repository, and
// manifests.

import { GantryError } from "../base/index.ts";
import { dropBody, readBody } from "./http-exchange.ts";
import { pullScope, pushScope, type Registry } from "./registry.ts";
import { type RetryOptions, retrying } from "./retrying.ts";
import { cancelSession, uploadsUrl } from "./upload.ts";

const manifestAnswerBytesMax = 1 << 20;

/** Returns whether the registry took the blob over from `from`. */
export async function mountBlob(
  registry: Registry,
  repository: string,
  digest: string,
  from: string,
  signal: AbortSignal,
): Promise<boolean> {
  const url = uploadsUrl(registry, repository);
  url.searchParams.set("mount", digest);
  url.searchParams.set("from", registry.nameOf(from));
  const scopes = [pushScope(repository), pullScope(from)];
  try {
    const request = { scopes, headers: { "Content-Length": "0" }, body: Buffer.alloc(0) };
    const { response, url: at } = await registry.ask("POST", url, request);
    dropBody(response);
    const { location } = response.headers;
    if (response.statusCode === 202 && location) {
      await cancelSession(registry, repository, new URL(location, at));
    }
    return response.statusCode === 201;
  } catch (error) {
    // A token service may refuse the scope of the source: then the blob goes up.
    if (signal.aborted || !(error instanceof GantryError)) throw error;
    if (error.kind === "unauthorized" || error.kind === "forbidden") return false;
    throw error;
  }
}

/** Stores a manifest byte by byte under a tag or its digest. */
export async function putManifest(
  registry: Registry,
  repository: string,
  tagOrDigest: string,
  { raw, mediaType }: { raw: Uint8Array; mediaType: string },
  options: RetryOptions,
): Promise<void> {
  await retrying(async () => {
    const path = `/v2/${repository}/manifests/${tagOrDigest}`;
    const { response } = await registry.expect([200, 201, 202], "PUT", path, {
      scopes: [pushScope(repository)],
      headers: { "Content-Type": mediaType, "Content-Length": String(raw.length) },
      body: raw,
    });
    await readBody(response, manifestAnswerBytesMax);
  }, options);
}
