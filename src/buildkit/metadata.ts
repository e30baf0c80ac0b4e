// Values in gRPC metadata, as BuildKit writes them: a list with a character outside ASCII is
// escaped as in a query and marked so.

import type { Metadata } from "./grpc-call.ts";

/** Lists by key; empty ones are left out. */
export function encodeMetadata(lists: Readonly<Record<string, readonly string[]>>): Metadata {
  const encoded: Record<string, readonly string[]> = {};
  for (const [key, values] of Object.entries(lists)) {
    if (values.length === 0) continue;
    const needed = values.some((value) => !/^[\x20-\x7e]*$/.test(value));
    encoded[key] = needed ? values.map(escaped) : values;
    if (needed) encoded[`${key}-encoded`] = ["1"];
  }
  return encoded;
}

/** Go's url.QueryEscape. */
function escaped(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, "+");
}
