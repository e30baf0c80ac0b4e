// Conditional requests and ranges (RFC 9110) over content whose ETag is its digest.

import type { Exchange } from "../exchange.ts";

/** Whether the client has these bytes already (If-None-Match). */
export function isFresh({ request }: Exchange, digest: string): boolean {
  const given = request.headers["if-none-match"];
  return given !== undefined && tagsIn(given).some((tag) => tag === digest || tag === "*");
}

function tagsIn(header: string): string[] {
  return header.split(",", 64).map((tag) =>
    tag
      .trim()
      .replace(/^W\//, "")
      .replace(/^"(.*)"$/, "$1"),
  );
}

/** One range of a body of `size` bytes, both ends inclusive; "whole" when the header asks for
 * none, for several, or for something that is no range; "none" when it lies outside (416). */
export function rangeOfRequest(
  { request }: Exchange,
  { size, digest }: { size: number; digest: string },
): { start: number; end: number } | "whole" | "none" {
  const { range, "if-range": condition } = request.headers;
  if (range === undefined) return "whole";
  if (condition !== undefined && tagsIn(String(condition))[0] !== digest) return "whole";
  const [, first = "", last = ""] = /^bytes\s*=\s*(\d*)\s*-\s*(\d*)$/i.exec(range.trim()) ?? [];
  if (first === "" && last === "") return "whole";
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "none" : { start: size - length, end: size - 1 };
  }
  const start = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < start) return "whole";
  return start >= size ? "none" : { start, end };
}
