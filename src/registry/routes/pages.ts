// Pages of names: `n` and `last` in the query, and the Link to the next page (RFC 8288) in the
// answer.

import { RegistryError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";

/** What the query asks for; throws PAGINATION_NUMBER_INVALID. */
export function pageOf(exchange: Exchange, limitMax: number): { limit: number; after?: string } {
  const { query } = exchange;
  const text = query.get("n");
  if (text !== null && !/^\d{1,9}$/.test(text)) {
    throw new RegistryError("PAGINATION_NUMBER_INVALID", "invalid number of results requested", {
      detail: { n: text.slice(0, 64) },
    });
  }
  const limit = text === null ? limitMax : Math.min(Number(text), limitMax);
  const after = query.get("last");
  return after ? { limit, after } : { limit };
}

/** The header that leads to what comes after `last`. */
export function nextPage(
  path: string,
  query: Record<string, string | number | undefined>,
): Record<string, string> {
  const text = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : `${key}=${encodeURIComponent(value)}`,
  );
  return { Link: `<${path}?${text.join("&")}>; rel="next"` };
}
