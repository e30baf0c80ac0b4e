// What a registry says of its limits: when to come back (RFC 9110 section 10.2.3: seconds or a
// date), and how many pulls are left.

import type { IncomingHttpHeaders } from "node:http";

/** Longer waits are the user's to decide about. */
const retryAfterSecondsMax = 60;

/** Seconds to wait; undefined when nothing is said or the wait is too long to be worth it. */
export function retryAfterSeconds(
  headers: IncomingHttpHeaders,
  now = Date.now(),
): number | undefined {
  const text = headers["retry-after"]?.trim();
  const reset = headers["x-ratelimit-reset"];
  let seconds: number;
  if (text) {
    const isDate = /^[A-Z][a-z]{2}/.test(text); // Date.parse takes more than HTTP's dates
    seconds = isDate ? (Date.parse(text) - now) / 1000 : /^\d+$/.test(text) ? Number(text) : NaN;
  } else if (typeof reset === "string" && /^\d+$/.test(reset)) seconds = Number(reset) - now / 1000;
  else return undefined;
  if (Number.isNaN(seconds) || seconds > retryAfterSecondsMax) return undefined;
  return Math.max(0, seconds);
}

export interface RateLimit {
  /** Pulls in `windowSeconds`. */
  limit?: number;
  remaining?: number;
  windowSeconds?: number;
}

/** Docker Hub's "ratelimit-limit: 100;w=21600" and "ratelimit-remaining: 76;w=21600". */
export function rateLimitOf(headers: IncomingHttpHeaders): RateLimit | undefined {
  const [limit, windowSeconds] = quota(headers["ratelimit-limit"]);
  const [remaining, sameWindow] = quota(headers["ratelimit-remaining"]);
  if (limit === undefined && remaining === undefined) return undefined;
  const window = windowSeconds ?? sameWindow;
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(remaining === undefined ? {} : { remaining }),
    ...(window === undefined ? {} : { windowSeconds: window }),
  };
}

function quota(header: string | string[] | undefined): [number?, number?] {
  const match = /^\s*(\d{1,12})(?:\s*;\s*w=(\d{1,12}))?/.exec(String(header ?? ""));
  if (match === null) return [];
  return [Number(match[1]), match[2] === undefined ? undefined : Number(match[2])];
}
