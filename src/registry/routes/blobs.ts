// /v2/<name>/blobs/<digest> (distribution spec 1.1, end-2 and end-10), whole, in part, or
// elsewhere.

import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { RegistryError } from "../errors.ts";
import type { Exchange, Headers } from "../exchange.ts";
import type { FileBody } from "../file-body.ts";
import type { TargetOf } from "../targets.ts";
import { isFresh, rangeOfRequest } from "./conditions.ts";

type Target = TargetOf<"blob">;
const octets = "application/octet-stream";
const oneYear = "max-age=31536000";

export async function getBlob(exchange: Exchange, { name, digest }: Target): Promise<void> {
  const { content, isHead } = exchange;
  const { size } = await content.blob(name, digest);
  const headers: Headers = {
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
    "Cache-Control": oneYear,
    "Accept-Ranges": "bytes",
  };
  if (isFresh(exchange, digest)) return exchange.answer(304, headers);
  headers["Content-Type"] = octets;
  if (isHead) return exchange.answer(200, { ...headers, "Content-Length": size });
  const elsewhere = await content.blobUrl(name, digest, "GET");
  if (elsewhere !== undefined) {
    exchange.answer(307, { ...headers, Location: elsewhere, "Cache-Control": "no-store" });
  } else await send(exchange, { name, digest, size }, headers);
  const target = { mediaType: octets, digest, size };
  exchange.announce({ action: "pull", repository: name, target });
}

async function send(
  exchange: Exchange,
  { name, digest, size }: { name: string; digest: string; size: number },
  headers: Headers,
): Promise<void> {
  const range = rangeOfRequest(exchange, { size, digest });
  if (range === "none") {
    throw new RegistryError("SIZE_INVALID", "the range lies outside the blob", {
      status: 416,
      headers: { "Content-Range": `bytes */${size}` },
    });
  }
  const { response } = exchange;
  if (range === "whole") {
    headers["Content-Length"] = size;
    const bytes = await exchange.content.openBlob(name, digest);
    response.writeHead(200, headers);
    await pour(bytes, response);
    return;
  }
  headers["Content-Length"] = range.end - range.start + 1;
  headers["Content-Range"] = `bytes ${range.start}-${range.end}/${size}`;
  const bytes = await exchange.content.openBlob(name, digest, range);
  response.writeHead(206, headers);
  await pour(bytes, response);
}

/** A body that can send itself does so, which is faster. */
async function pour(bytes: Readable, response: ServerResponse): Promise<void> {
  if ("sendTo" in bytes) await (bytes as FileBody).sendTo(response);
  else await pipeline(bytes, response);
}

export async function deleteBlob(exchange: Exchange, { name, digest }: Target): Promise<void> {
  const { size } = await exchange.content.blob(name, digest);
  await exchange.content.deleteBlob(name, digest);
  exchange.answer(202, {});
  const target = { mediaType: octets, digest, size };
  exchange.announce({ action: "delete", repository: name, target });
}
