// One error class with a closed set of kinds, so that a failure is classified once, where it is
// understood, and mapped to an HTTP status, a gRPC code or an exit code only at the edge.
// A message says what failed, why, and what to do; a cause is wrapped, never concatenated.

export type ErrorKind =
  | "invalid" // the request is malformed or asks for the impossible: HTTP 400
  | "unauthorized" // HTTP 401
  | "forbidden" // HTTP 403
  | "not-found" // HTTP 404
  | "conflict" // name in use, wrong state: HTTP 409
  | "not-modified" // already in the wanted state: HTTP 304
  | "unavailable" // a dependency is not there now: HTTP 503
  | "not-implemented" // refused with a reason: HTTP 501
  | "cancelled" // the caller went away
  | "timeout"
  | "exhausted" // disk full, limits, address pools: HTTP 500 with the remedy
  | "corrupt" // stored or transferred data fails verification
  | "internal";

export class GantryError extends Error {
  readonly kind: ErrorKind;
  /** Facts for programs (errno name, path, port …); never needed to understand the message. */
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(
    kind: ErrorKind,
    message: string,
    options: { cause?: unknown; detail?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GantryError";
    this.kind = kind;
    this.detail = options.detail ?? {};
  }
}

/** Returns the kind of any thrown value; what is not ours is "internal". */
export function kindOf(error: unknown): ErrorKind {
  if (error instanceof GantryError) return error.kind;
  if (error instanceof Error && error.name === "AbortError") return "cancelled";
  return "internal";
}

/** Returns a message for people from any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Returns the errno name ("ENOENT") that Node or the native program attached, if any. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof GantryError) {
    const code = error.detail["errno"];
    if (typeof code === "string") return code;
  }
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
