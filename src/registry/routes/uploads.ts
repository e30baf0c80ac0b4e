// /v2/<name>/blobs/uploads/ (distribution spec 1.1, end-4, end-5, end-6, end-11, end-13, end-14):
// how a blob comes: in one request, in chunks, streamed, or from another repository.

import { RegistryError } from "../errors.ts";
import type { Exchange, Headers } from "../exchange.ts";
import { algorithmOf, isAlgorithm, isDigest, isName, parseDigest, parseName } from "../names.ts";
import type { TargetOf } from "../targets.ts";
import { rangeOf } from "../uploads.ts";

type Target = TargetOf<"upload">;
const octets = "application/octet-stream";

export async function startUpload(
  exchange: Exchange,
  { name }: TargetOf<"uploads">,
): Promise<void> {
  const { content, query } = exchange;
  const digest = query.get("digest");
  if (digest !== null) return await uploadAtOnce(exchange, name, parseDigest(digest));
  const mount = query.get("mount");
  if (mount !== null && (await mounted(exchange, name, mount))) return;
  const algorithm = query.get("digest-algorithm") ?? "sha256";
  if (!isAlgorithm(algorithm)) {
    throw new RegistryError("DIGEST_INVALID", "the registry computes sha256 and sha512", {
      detail: { algorithm: algorithm.slice(0, 64) },
    });
  }
  const id = await content.startUpload(name, algorithm);
  exchange.answer(202, progress(name, id, 0));
}

async function uploadAtOnce(exchange: Exchange, name: string, digest: string): Promise<void> {
  const { content } = exchange;
  const id = await content.startUpload(name, algorithmOf(digest));
  try {
    await content.append(name, id, 0, exchange.body());
    await finish(exchange, { route: "upload", name, id }, digest);
  } catch (error) {
    await content.cancelUpload(name, id).catch(() => {}); // a wrong digest has cancelled it
    throw error;
  }
}

/** Whether the blob could be linked from another repository that the caller may read; if not, the
 * client uploads it. */
async function mounted(exchange: Exchange, name: string, digest: string): Promise<boolean> {
  if (!isDigest(digest)) parseDigest(digest);
  for await (const from of sources(exchange, digest)) {
    if (!exchange.allows({ type: "repository", name: from, actions: ["pull"] })) continue;
    if (!(await exchange.content.mountBlob(name, digest, from))) continue;
    exchange.answer(201, location(name, digest));
    const { size } = await exchange.content.blob(name, digest);
    exchange.announce({
      action: "mount",
      repository: name,
      target: { mediaType: octets, digest, size, from },
    });
    return true;
  }
  return false;
}

async function* sources({ query, content }: Exchange, digest: string): AsyncIterable<string> {
  const from = query.get("from");
  if (from === null) yield* content.holders?.(digest) ?? [];
  else if (isName(from)) yield from;
  else parseName(from);
}

export async function appendUpload(exchange: Exchange, { name, id }: Target): Promise<void> {
  const size = await append(exchange, { route: "upload", name, id });
  exchange.answer(202, progress(name, id, size));
}

export async function finishUpload(exchange: Exchange, target: Target): Promise<void> {
  const text = exchange.query.get("digest");
  if (text === null) {
    throw new RegistryError("DIGEST_INVALID", "the digest of the upload is missing");
  }
  const digest = parseDigest(text);
  if (exchange.hasBody) await append(exchange, target);
  await finish(exchange, target, digest);
}

async function append(exchange: Exchange, { name, id }: Target): Promise<number> {
  const { content, request } = exchange;
  const size = await content.uploadSize(name, id);
  const range = request.headers["content-range"];
  if (range === undefined) return await content.append(name, id, size, exchange.body());
  const [, first, last] =
    /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(range) ?? [];
  const [start, end] = [Number(first), Number(last)];
  if (first === undefined || end < start) {
    throw new RegistryError("BLOB_UPLOAD_INVALID", "the Content-Range is not START-END", {
      detail: { range: range.slice(0, 128) },
    });
  }
  const length = request.headers["content-length"];
  if (length !== undefined && Number(length) !== end - start + 1) {
    throw new RegistryError("SIZE_INVALID", "Content-Length and Content-Range do not agree", {
      detail: { range, length },
    });
  }
  if (start !== size) {
    throw new RegistryError(
      "BLOB_UPLOAD_INVALID",
      "the chunk does not begin where the last ended",
      {
        status: 416,
        detail: { size, start },
        headers: { Location: `/v2/${name}/blobs/uploads/${id}`, Range: rangeOf(size) },
      },
    );
  }
  return await content.append(name, id, size, exchange.body());
}

async function finish(exchange: Exchange, { name, id }: Target, digest: string): Promise<void> {
  const { content } = exchange;
  const { size } = await exchange.patiently(() => content.finishUpload(name, id, digest));
  exchange.answer(201, location(name, digest));
  exchange.announce({
    action: "push",
    repository: name,
    target: { mediaType: octets, digest, size },
  });
}

export async function getUpload(exchange: Exchange, { name, id }: Target): Promise<void> {
  const size = await exchange.content.uploadSize(name, id);
  exchange.answer(204, progress(name, id, size));
}

export async function cancelUpload(exchange: Exchange, { name, id }: Target): Promise<void> {
  await exchange.content.cancelUpload(name, id);
  exchange.answer(204, {});
}

function progress(name: string, id: string, size: number): Headers {
  return {
    Location: `/v2/${name}/blobs/uploads/${id}`,
    Range: rangeOf(size),
    "Docker-Upload-UUID": id,
  };
}

function location(name: string, digest: string): Headers {
  return { Location: `/v2/${name}/blobs/${digest}`, "Docker-Content-Digest": digest };
}
