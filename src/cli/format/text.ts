// Small pieces of docker's tables: shortened ids, cut texts, times.

import { humanDuration } from "../../base/index.ts";

const SHORT_ID = 12;

/** The first 12 characters of an id, without its algorithm. */
export function shortId(id: string): string {
  return id.replace(/^[a-z0-9]+:/, "").slice(0, SHORT_ID);
}

/** Cuts to `max` columns, the last of which is an ellipsis; wide characters count twice. */
export function ellipsis(text: string, max: number): string {
  if (max <= 0) return "";
  const characters = [...text];
  if (max === 1) return characters.length <= 1 ? text : characters[0]!;
  if (columnsOf(text) <= max) return text;
  let used = 0;
  let out = "";
  for (const c of characters) {
    used += WIDE.test(c) ? 2 : 1;
    if (used > max - 1) break;
    out += c;
  }
  return `${out}…`;
}

/** East Asian wide characters and pictures take two columns. */
const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff" +
    "\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6\\u{1f300}-\\u{1faff}]",
  "u",
);

/** How many columns of a terminal a text takes. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const c of text) columns += WIDE.test(c) ? 2 : 1;
  return columns;
}

/** "22 months ago" for a time in seconds since 1970. */
export function ago(seconds: number): string {
  return `${humanDuration(Date.now() - seconds * 1000)} ago`;
}

/** Go's Time.String of a whole second in the machine's zone: "2025-01-01 00:00:00 +0000 UTC". */
export function goTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const size = Math.abs(offset);
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.trunc(size / 60))}${two(size % 60)}`;
  return `${day} ${time} ${zone} ${zoneName(date, zone)}`;
}

function zoneName(date: Date, zone: string): string {
  if (zone === "+0000") return "UTC";
  return /\(([A-Z]{3,5})\)/.exec(date.toString())?.[1] ?? zone;
}

/** Labels or options as "a=1,b=2", sorted. */
export function joinPairs(pairs: Record<string, string> | null | undefined): string {
  return Object.keys(pairs ?? {})
    .sort()
    .map((key) => `${key}=${pairs![key]}`)
    .join(",");
}
