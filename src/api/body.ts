// Reading JSON request bodies: limited in size, refused with dockerd's sentences.

import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import { decode, type Schema } from "../protocol/index.ts";

/** The largest JSON body that is read; docker's own are a few KiB. */
export const jsonBodyBytesMax = 8 * 1024 * 1024;

/** Reads and decodes a JSON body; undefined when there is none. */
export async function readJson<T>(
  schema: Schema<T>,
  body: Readable,
  headers: IncomingHttpHeaders,
): Promise<T | undefined> {
  const length = headers["content-length"];
  const absent = headers["transfer-encoding"] === undefined && Number(length ?? 0) === 0;
  checkContentType(headers["content-type"], absent);
  if (absent) return undefined;
  const text = await readText(body);
  if (text.trim() === "") {
    throw new GantryError("invalid", "invalid JSON: got EOF while reading request body");
  }
  return decode(schema, parseJson(text));
}

function checkContentType(contentType: string | undefined, absent: boolean): void {
  if (contentType === undefined || contentType === "") {
    if (absent) return;
    throw new GantryError("invalid", "malformed Content-Type header (): mime: no media type");
  }
  const type = contentType.split(";", 1)[0]!.trim().toLowerCase();
  if (type === "application/json" || absent) return;
  throw new GantryError(
    "invalid",
    `unsupported Content-Type header (${contentType}): must be 'application/json'`,
  );
}

export const tooLarge = (): GantryError =>
  new GantryError("invalid", `request body is larger than ${jsonBodyBytesMax} bytes`);

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // The answer must still go out: a body that is too large is drained, not cut off.
  for await (const chunk of body.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > jsonBodyBytesMax) {
      throw tooLarge();
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GantryError("invalid", `invalid JSON: ${goSyntaxError(text, cause as Error)}`, {
      cause,
    });
  }
}

/** V8's complaint in the words of Go's encoding/json. */
function goSyntaxError(text: string, error: Error): string {
  if (/end of JSON input|Unterminated/.test(error.message)) return "unexpected EOF";
  if (/non-whitespace character after JSON/.test(error.message)) {
    return "unexpected content after JSON";
  }
  const position = /position (\d+)/.exec(error.message)?.[1];
  // What V8 misses behind the last character is what is not there.
  if (position !== undefined && Number(position) >= text.trimEnd().length) return "unexpected EOF";
  const character = position === undefined ? text.trimStart()[0] : text[Number(position)];
  // A word that begins as a literal is told where it stops to be one.
  const literal = ["true", "false", "null"].find((word) => word[0] === character);
  if (literal !== undefined && position === undefined) return unlike(text.trimStart(), literal);
  return `invalid character '${character ?? ""}' looking for beginning of value`;
}

function unlike(text: string, literal: string): string {
  const at = [...literal].findIndex((letter, n) => text[n] !== letter);
  if (at < 0 || text[at] === undefined) return "unexpected EOF";
  return `invalid character '${text[at]}' in literal ${literal} (expecting '${literal[at]}')`;
}
