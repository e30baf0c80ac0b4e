// What a request's path means. Names may contain any word that routes are made of ("a/blobs/b"), so
// a path is read from its end, where the spec's own words are.

import { RegistryError } from "./errors.ts";
import { isTag, parseDigest, parseName } from "./names.ts";

export type Target =
  | { route: "base" }
  | { route: "catalog" }
  | { route: "tags"; name: string }
  /** A digest or a tag; `reference` is empty when it can be neither. */
  | { route: "manifest"; name: string; reference: string }
  | { route: "referrers"; name: string; digest: string }
  | { route: "blob"; name: string; digest: string }
  | { route: "uploads"; name: string }
  | { route: "upload"; name: string; id: string };
export type RouteName = Target["route"];
export type TargetOf<R extends RouteName> = Extract<Target, { route: R }>;

const UPLOADS = /^\/v2\/(.+)\/blobs\/uploads\/?$/;
const UPLOAD = /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/;
const NAMED = /^\/v2\/(.+)\/(manifests|blobs|referrers)\/([^/]*)$/;
const TAGS = /^\/v2\/(.+)\/tags\/list$/;
const targetLengthMax = 8_192;

/** Reads a path beneath /v2/, without its query; undefined when it is nothing that we have. Throws
 * NAME_INVALID and DIGEST_INVALID. */
export function parseTarget(encoded: string): Target | undefined {
  if (encoded.length > targetLengthMax) {
    throw new RegistryError("NAME_INVALID", "the address is too long", { status: 414 });
  }
  const path = encoded.includes("%") ? decode(encoded) : encoded;
  if (path === "/v2/" || path === "/v2") return { route: "base" };
  if (path === "/v2/_catalog") return { route: "catalog" };
  const tags = TAGS.exec(path);
  if (tags !== null) return { route: "tags", name: parseName(tags[1]!) };
  const uploads = UPLOADS.exec(path);
  if (uploads !== null) return { route: "uploads", name: parseName(uploads[1]!) };
  const upload = UPLOAD.exec(path);
  if (upload !== null) return { route: "upload", name: parseName(upload[1]!), id: upload[2]! };
  const [, nameText, kind, last = ""] = NAMED.exec(path) ?? [];
  if (nameText === undefined) return undefined;
  const name = parseName(nameText);
  if (kind === "blobs") return { route: "blob", name, digest: parseDigest(last) };
  if (kind === "referrers") return { route: "referrers", name, digest: parseDigest(last) };
  const reference = last.includes(":") ? parseDigest(last) : isTag(last) ? last : "";
  return { route: "manifest", name, reference };
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", "the address is not valid UTF-8", { cause });
  }
}
