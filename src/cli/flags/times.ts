// --since and --until: a duration before now, a date in several lengths, or seconds since 1970,
// as the seconds that the API's query wants.

import { GantryError, parseDuration } from "../../base/index.ts";

const SECONDS = /^\d+(\.\d{1,9})?$/;
const DATE =
  /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(\.\d+)?)?)?)?(Z|[-+]\d{2}:\d{2})?$/;

/** "seconds.nanoseconds" since 1970. */
export function parseTime(text: string, now = Date.now()): string {
  const duration = durationOf(text);
  if (duration !== undefined) return seconds(now * 1e6 - duration);
  if (SECONDS.test(text)) return text;
  const match = DATE.exec(text);
  if (!match)
    throw new GantryError(
      "invalid",
      `invalid value for time: failed to parse value as time or duration: ${JSON.stringify(text)}`,
    );
  const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  // Without a zone the caller's own is meant, as in docker.
  const whole = Date.parse(`${day}T${hour}:${minute}:${second}${zone}`);
  if (Number.isNaN(whole)) throw new GantryError("invalid", `invalid time ${JSON.stringify(text)}`);
  return `${Math.floor(whole / 1000)}.${fraction.slice(1).padEnd(9, "0").slice(0, 9)}`;
}

function durationOf(text: string): number | undefined {
  if (text === "0" || SECONDS.test(text)) return undefined;
  try {
    return parseDuration(text);
  } catch {
    return undefined;
  }
}

function seconds(nanoseconds: number): string {
  const whole = Math.floor(nanoseconds / 1e9);
  return `${whole}.${String(Math.round(nanoseconds - whole * 1e9))
    .padStart(9, "0")
    .slice(0, 9)}`;
}
