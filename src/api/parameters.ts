// Small parsers for values inside query parameters and headers: docker's timestamps, platforms
// and repository references.

import { GantryError, messageOf, splitCsv } from "../base/index.ts";
import { familiarReference, parseReference } from "../spec/index.ts";

export interface Timestamp {
  seconds: number;
  nanoseconds: number;
}

/** "1700000000", "1700000000.000000123" or RFC 3339; undefined for "" and "0". */
export function parseTimestamp(text: string | undefined): Timestamp | undefined {
  if (text === undefined || text === "" || text === "0") return undefined;
  const number = /^(-?\d+)(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (number !== null) {
    return {
      seconds: Number(number[1]),
      nanoseconds: Number((number[2] ?? "").padEnd(9, "0")),
    };
  }
  const milliseconds = /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(milliseconds)) {
    throw new GantryError(
      "invalid",
      `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  const seconds = Math.floor(milliseconds / 1000);
  const fraction = /\.(\d{1,9})/.exec(text)?.[1] ?? "";
  return { seconds, nanoseconds: Number(fraction.padEnd(9, "0")) };
}

/** Seconds since 1970 with fraction. */
export function timestampSeconds(text: string | undefined): number | undefined {
  const stamp = parseTimestamp(text);
  return stamp === undefined ? undefined : stamp.seconds + stamp.nanoseconds / 1e9;
}

/** "10", "all" or "" as docker's --tail has it: anything else means all. */
export function parseTail(text: string | undefined): number | "all" {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : "all";
}

/** {"os":"linux","architecture":"arm64","variant":"v8"} → "linux/arm64/v8". */
export function platformFromJson(text: string): string {
  let parsed: { os?: unknown; architecture?: unknown; variant?: unknown };
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch (cause) {
    throw new GantryError("invalid", `failed to parse platform: ${messageOf(cause)}`, { cause });
  }
  if (typeof parsed.os !== "string" || typeof parsed.architecture !== "string") {
    throw new GantryError("invalid", "both OS and Architecture must be provided");
  }
  const variant = typeof parsed.variant === "string" ? `/${parsed.variant}` : "";
  return `${parsed.os}/${parsed.architecture}${variant}`;
}

/** Repository and tag of an image to be made; undefined when `repo` is empty. */
export function parseRepoTag(
  repo: string | undefined,
  tag: string | undefined,
): { repo: string; tag: string } | undefined {
  if (repo === undefined || repo === "") return undefined;
  const reference = parseReference(repo, { defaultTag: false });
  if (reference.digest !== undefined) {
    throw new GantryError("invalid", "cannot import digest reference");
  }
  const chosen = tag || reference.tag || "latest";
  if (!/^\w[\w.-]{0,127}$/.test(chosen)) throw new GantryError("invalid", "invalid tag format");
  const { tag: _, ...named } = reference;
  return { repo: familiarReference(named), tag: chosen };
}

/** Values of a parameter that old clients repeat and others send as CSV. */
export function commaSeparated(values: readonly string[]): string[] {
  return values.flatMap((value) => splitCsv(value));
}

/** A whole number of a query; 0 where there is none. */
export function integer(name: string, text: string | undefined): number {
  if (text === undefined || text === "") return 0;
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new GantryError("invalid", `invalid value for ${name}: ${JSON.stringify(text)}`);
}
