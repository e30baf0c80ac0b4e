// gRPC's codes and our kinds of errors, both ways.

import { type ErrorKind, GantryError } from "../base/index.ts";

/** By code. */
const NAMES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;
export type GrpcCode = (typeof NAMES)[number];

const KINDS: Readonly<Record<GrpcCode, ErrorKind>> = {
  OK: "internal",
  Canceled: "cancelled",
  Unknown: "internal",
  InvalidArgument: "invalid",
  DeadlineExceeded: "timeout",
  NotFound: "not-found",
  AlreadyExists: "conflict",
  PermissionDenied: "forbidden",
  ResourceExhausted: "exhausted",
  FailedPrecondition: "conflict",
  Aborted: "conflict",
  OutOfRange: "invalid",
  Unimplemented: "not-implemented",
  Internal: "internal",
  Unavailable: "unavailable",
  DataLoss: "corrupt",
  Unauthenticated: "unauthorized",
};

export const CODES: Readonly<Record<ErrorKind, number>> = {
  invalid: 3,
  unauthorized: 16,
  forbidden: 7,
  "not-found": 5,
  conflict: 6,
  "not-modified": 9,
  unavailable: 14,
  "not-implemented": 12,
  cancelled: 1,
  timeout: 4,
  exhausted: 8,
  corrupt: 15,
  internal: 2,
};

/** The error that a call's trailers tell; undefined for success. `detail.grpc` has the code. */
export function statusError(
  status: string | undefined,
  message: string | undefined,
): GantryError | undefined {
  if (status === "0") return undefined;
  return codeError(Number(status), message ? decoded(message) : "");
}

/** An error by its code. */
export function codeError(code: number, message: string): GantryError {
  const name = NAMES[code] ?? "Unknown";
  const text = message || `the client answered with ${name}`;
  return new GantryError(KINDS[name], text, { detail: { grpc: name } });
}

/** Whether a call failed with that code. */
export function failedWith(error: unknown, code: GrpcCode): boolean {
  return error instanceof GantryError && error.detail["grpc"] === code;
}

/** Messages in trailers are percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
