// gRPC's own framing over HTTP/2: a flag byte and a length before each message, the status in the
// trailers. Both halves of a build's connection use it directly (see decision 0084): a folder of
// 50,000 files is 50,000 messages, which are written and read many at a time.

import { type ErrorKind, GantryError } from "../../../../base/index.ts";

const PREFIX_BYTES = 5;
/** As BuildKit's own limit. */
const MESSAGE_BYTES_MAX = 16 << 20;

export const GRPC = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

const KINDS: Record<number, ErrorKind> = {
  [GRPC.cancelled]: "cancelled",
  [GRPC.invalidArgument]: "invalid",
  [GRPC.notFound]: "not-found",
  [GRPC.alreadyExists]: "conflict",
  [GRPC.permissionDenied]: "forbidden",
  [GRPC.failedPrecondition]: "conflict",
  [GRPC.unimplemented]: "not-implemented",
  [GRPC.unavailable]: "unavailable",
  [GRPC.unauthenticated]: "unauthorized",
};
const CODES: Partial<Record<ErrorKind, number>> = {
  cancelled: GRPC.cancelled,
  invalid: GRPC.invalidArgument,
  "not-found": GRPC.notFound,
  conflict: GRPC.alreadyExists,
  forbidden: GRPC.permissionDenied,
  "not-implemented": GRPC.unimplemented,
  unavailable: GRPC.unavailable,
  unauthorized: GRPC.unauthenticated,
};

export function frame(message: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  out[0] = 0;
  out.writeUInt32BE(message.byteLength, 1);
  out.set(message, PREFIX_BYTES);
  return out;
}

/** Cuts a byte stream into messages. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The messages that are whole now. They share the chunk's memory. */
  push(chunk: Buffer): Buffer[] {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: Buffer[] = [];
    while (data.length >= PREFIX_BYTES) {
      const length = data.readUInt32BE(1);
      if (data[0] !== 0) throw new GantryError("invalid", "a compressed gRPC message came");
      if (length > MESSAGE_BYTES_MAX) {
        throw new GantryError("invalid", `a gRPC message of ${length} bytes came`);
      }
      if (data.length < PREFIX_BYTES + length) break;
      out.push(data.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
      data = data.subarray(PREFIX_BYTES + length);
    }
    this.#rest = data;
    return out;
  }

  get isEmpty(): boolean {
    return this.#rest.length === 0;
  }
}

export function codeOf(error: unknown): number {
  return (error instanceof GantryError ? CODES[error.kind] : undefined) ?? GRPC.unknown;
}

/** A status with which a call ended, as an error; `details` is its google.rpc.Status. */
export function statusError(
  code: number,
  message: string,
  details: Uint8Array | undefined,
): GantryError {
  return new GantryError(KINDS[code] ?? "internal", message, {
    detail: { grpcCode: code, ...(details ? { grpcDetails: details } : {}) },
  });
}

/** gRPC's percent-encoding of grpc-message. */
export function encodeMessage(text: string): string {
  return Array.from(Buffer.from(text), (byte) =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
  ).join("");
}

export function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
