// From any thrown value to an HTTP status and docker's {"message": …} body. The only place where
// error kinds become statuses.

import { adviceLines, adviceOf, type ErrorKind, kindOf, messageOf } from "../base/index.ts";

const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "not-modified": 304,
  unavailable: 503,
  "not-implemented": 501,
  cancelled: 499,
  timeout: 504,
  exhausted: 500,
  corrupt: 500,
  internal: 500,
};

export function statusOf(error: unknown): number {
  return STATUS[kindOf(error)];
}

/** Docker's words first, since clients search them; what we know beyond them on lines of its own,
 * and as fields for programs. */
export function errorBody(error: unknown): {
  message: string;
  cause?: string;
  remedy?: readonly string[];
} {
  return { message: messageWithAdvice(error), ...adviceOf(error) };
}

export function messageWithAdvice(error: unknown): string {
  return [messageOf(error), ...adviceLines(adviceOf(error) ?? {})].join("\n");
}
