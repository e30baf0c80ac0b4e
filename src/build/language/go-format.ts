// Values as Go's fmt prints them, for history lines: they are part of what people and tools read in
// `docker history`, so they are spelled as the builder spells them.

import { formatDuration } from "../../base/index.ts";
import type { HealthConfig } from "../../spec/index.ts";

/** %v of a list: [a b]. */
export function goList(words: readonly string[]): string {
  return `[${words.join(" ")}]`;
}

/** %q of a list: ["a" "b"]. */
export function goQuotedList(words: readonly string[]): string {
  return `[${words.map(goQuote).join(" ")}]`;
}

const ESCAPES: Record<string, string> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** strconv.Quote. */
function goQuote(text: string): string {
  const escaped = text.replace(/["\\\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu, (char) => {
    const known = ESCAPES[char];
    if (known !== undefined) return known;
    const point = char.codePointAt(0)!;
    if (point < 0x80) return `\\x${point.toString(16).padStart(2, "0")}`;
    if (point < 0x1_0000) return `\\u${point.toString(16).padStart(4, "0")}`;
    return `\\U${point.toString(16).padStart(8, "0")}`;
  });
  return `"${escaped}"`;
}

/** %q of a pointer to the health check, as it appears in history. */
export function goQuotedHealth(health: HealthConfig): string {
  const times = [health.Interval, health.Timeout, health.StartPeriod, health.StartInterval];
  const shown = times.map((time) => goQuote(formatDuration(time ?? 0)));
  return `&{${goQuotedList(health.Test ?? [])} ${shown.join(" ")} ${goRune(health.Retries ?? 0)}}`;
}

/** %q of a number: a character literal. */
function goRune(point: number): string {
  const char = String.fromCodePoint(point <= 0x10_ffff ? point : 0xfffd);
  if (char === "'") return "'\\''";
  if (char === '"') return `'"'`;
  return `'${goQuote(char).slice(1, -1)}'`;
}
