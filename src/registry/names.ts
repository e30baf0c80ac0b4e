// The grammars of the distribution spec 1.1 for what stands in a request's path: names of
// repositories, tags and digests. What passes here is safe in a path of the store: no component is
// empty, "." or "..", and none begins with "_" or ".".

import { createHash, type Hash } from "node:crypto";
import { RegistryError } from "./errors.ts";

const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const FALLBACK_TAG = /^(sha256|sha512)-([0-9a-f]{64})$/;
const nameLengthMax = 255;

export type Algorithm = "sha256" | "sha512";

export function isName(text: string): boolean {
  return text.length <= nameLengthMax && NAME.test(text);
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

export function isDigest(text: unknown): text is string {
  return typeof text === "string" && DIGEST.test(text);
}

/** Returns `text`; throws NAME_INVALID. */
export function parseName(text: string): string {
  if (isName(text)) return text;
  throw new RegistryError("NAME_INVALID", "invalid repository name", { detail: { name: text } });
}

/** Returns `text`; throws DIGEST_INVALID, also for an algorithm that nobody here computes. */
export function parseDigest(text: string): string {
  if (isDigest(text)) return text;
  throw new RegistryError("DIGEST_INVALID", "provided digest is not a sha256 or sha512 digest", {
    detail: { digest: text },
  });
}

export function algorithmOf(digest: string): Algorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

export function isAlgorithm(text: string): text is Algorithm {
  return text === "sha256" || text === "sha512";
}

export function digestWith(algorithm: Algorithm, bytes: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** The digest that a running hash has reached; the hash can go on. */
export function digestSoFar(algorithm: Algorithm, hash: Hash): string {
  return `${algorithm}:${hash.copy().digest("hex")}`;
}

/** The tag under which clients without the referrers API keep a subject's referrers: algorithm and
 * digits, cut to 32 and 64 characters (distribution spec 1.1, "Referrers Tag Schema"). */
export function fallbackTag(digest: string): string {
  const colon = digest.indexOf(":");
  return `${digest.slice(0, colon)}-${digest.slice(colon + 1, colon + 65)}`;
}

export function isFallbackTag(tag: string): boolean {
  return FALLBACK_TAG.test(tag);
}
