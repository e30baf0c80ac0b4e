// Content digests ("sha256:<64 hex digits>", OCI image-spec descriptor.md) and the chain ids that
// name a stack of layers (image-spec config.md, "Layer ChainID").

import { createHash } from "node:crypto";
import { GantryError } from "../base/index.ts";

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** The digest of `data`, by sha256 unless another algorithm is asked for. */
export function digestOf(data: string | Uint8Array, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}

export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Returns `text` when it is a sha256 or sha512 digest; throws invalid otherwise. */
export function parseDigest(text: unknown): string {
  if (typeof text === "string" && DIGEST.test(text)) return text;
  throw new GantryError("invalid", `Invalid digest ${JSON.stringify(text)}: want sha256:<64 hex>`);
}

/** "sha256" or "sha512". */
export function algorithmOf(digest: string): string {
  return digest.slice(0, digest.indexOf(":"));
}

/** The hexadecimal digits of a digest. */
export function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The chain ids of every prefix of `diffIds`, bottom layer first. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chain;
}
