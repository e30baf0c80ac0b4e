// gRPC's codes and our kinds of errors, both ways.

import type { IncomingHttpHeaders } from "node:http2";
import { type ErrorKind, GantryError, kindOf } from "../base/index.ts";

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
type GrpcCode = (typeof NAMES)[number];

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

const CODES: Readonly<Record<ErrorKind, number>> = {
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

/** The codes that are given by name. */
export const GRPC = { ok: 0, unknown: 2, unimplemented: 12 } as const;

export function codeOf(error: unknown): number {
  return CODES[kindOf(error)];
}

/** The error that the headers with a call's status tell; undefined for success. */
export function statusError(headers: IncomingHttpHeaders): GantryError | undefined {
  const code = Number(headers["grpc-status"]);
  if (code === GRPC.ok) return undefined;
  const { "grpc-message": message, "grpc-status-details-bin": details } = headers;
  return codeError(
    code,
    message === undefined ? "" : decodedText(String(message)),
    details === undefined ? undefined : Buffer.from(String(details), "base64"),
  );
}

/** An error by its code: `detail.grpc` has its name, `detail.grpcDetails` its google.rpc.Status. */
export function codeError(code: number, message: string, grpcDetails?: Uint8Array): GantryError {
  const grpc = NAMES[code] ?? "Unknown";
  const text = message || `the other side answered with ${grpc}`;
  return new GantryError(KINDS[grpc], text, {
    detail: { grpc, ...(grpcDetails && { grpcDetails }) },
  });
}

/** Whether a call failed with that code. */
export function failedWith(error: unknown, code: GrpcCode): boolean {
  return error instanceof GantryError && error.detail["grpc"] === code;
}

/** Messages in headers are percent-encoded. */
export function encodedText(text: string): string {
  return Array.from(Buffer.from(text), (byte) =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
  ).join("");
}

function decodedText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
