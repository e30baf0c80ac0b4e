// From any thrown value to an HTTP status and docker's {"message": …} body. The only place where
// error kinds become statuses.

import { type ErrorKind, kindOf, messageOf } from "../base/index.ts";

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

export function errorBody(error: unknown): { message: string } {
  return { message: messageOf(error) };
}
