// /v2/<name>/manifests/<tag or digest> (distribution spec 1.1, end-3, end-7 and end-9). Manifests
// are kept and given as the bytes that came: whatever a client accepts, converting would change a
// digest.

import { RegistryError } from "../errors.ts";
import type { Exchange, Headers } from "../exchange.ts";
import { isDigest, isTag } from "../names.ts";
import type { TargetOf } from "../targets.ts";
import { isFresh } from "./conditions.ts";

type Target = TargetOf<"manifest">;

export async function getManifest(exchange: Exchange, { name, reference }: Target): Promise<void> {
  if (reference === "") throw unknown(name);
  const { digest, mediaType, raw } = await exchange.content.manifest(name, reference);
  const headers: Headers = {
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
  };
  if (isFresh(exchange, digest)) return exchange.answer(304, headers);
  headers["Content-Type"] = mediaType;
  headers["Content-Length"] = raw.length;
  exchange.answer(200, headers, raw);
  if (exchange.isHead) return;
  const tag = isDigest(reference) ? {} : { tag: reference };
  exchange.announce({
    action: "pull",
    repository: name,
    target: { mediaType, digest, size: raw.length, ...tag },
  });
}

export async function putManifest(exchange: Exchange, { name, reference }: Target): Promise<void> {
  if (reference === "") throw invalidTag("");
  const tags = tagsOf(exchange, reference);
  const raw = await exchange.bodyWhole(exchange.limits.manifestBytesMax);
  const mediaType = exchange.request.headers["content-type"] ?? "";
  const { digest, subject } = await exchange.content.putManifest(name, {
    raw,
    mediaType,
    tags,
    ...(isDigest(reference) ? { digest: reference } : {}),
  });
  const headers: Headers = {
    Location: `/v2/${name}/manifests/${digest}`,
    "Docker-Content-Digest": digest,
  };
  if (subject !== undefined) headers["OCI-Subject"] = subject;
  if (isDigest(reference) && tags.length > 0) headers["OCI-Tag"] = tags;
  exchange.answer(201, headers);
  const target = { mediaType, digest, size: raw.length };
  for (const tag of tags.length > 0 ? tags : [undefined]) {
    exchange.announce({
      action: "push",
      repository: name,
      target: { ...target, ...(tag === undefined ? {} : { tag }) },
    });
  }
}

/** The tags a put sets: the one in the path, or those of the query beside a digest. */
function tagsOf({ query, limits }: Exchange, reference: string): string[] {
  if (!isDigest(reference)) return [reference];
  const tags = [...new Set(query.getAll("tag"))];
  if (tags.length > limits.tagsPerPutMax) {
    throw new RegistryError("MANIFEST_INVALID", `more than ${limits.tagsPerPutMax} tags at once`, {
      status: 414,
    });
  }
  const bad = tags.find((tag) => !isTag(tag));
  if (bad !== undefined) throw invalidTag(bad);
  return tags;
}

export async function deleteManifest(
  exchange: Exchange,
  { name, reference }: Target,
): Promise<void> {
  if (reference === "") throw unknown(name);
  const { digest, mediaType, raw } = await exchange.content.manifest(name, reference);
  const byDigest = isDigest(reference);
  if (byDigest) await exchange.content.deleteManifest(name, reference);
  else await exchange.content.deleteTag(name, reference);
  exchange.answer(202, {});
  exchange.announce({
    action: "delete",
    repository: name,
    target: { mediaType, digest, size: raw.length, ...(byDigest ? {} : { tag: reference }) },
  });
}

function unknown(name: string): RegistryError {
  return new RegistryError("MANIFEST_UNKNOWN", "manifest unknown", { detail: { name } });
}

function invalidTag(tag: string): RegistryError {
  return new RegistryError("MANIFEST_INVALID", "manifest tag did not match the grammar of tags", {
    detail: { tag: tag.slice(0, 256) },
  });
}
