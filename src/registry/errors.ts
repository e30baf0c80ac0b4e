// The errors of the distribution spec 1.1 ("Error Codes") with their HTTP statuses: the one table
// from code to status. Everything else that goes wrong is the server's own fault and never shown.

const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  PAGINATION_NUMBER_INVALID: 400,
  UNAVAILABLE: 503,
} as const;

export type RegistryErrorCode = keyof typeof STATUS;

/** An answer that the client is meant to see. `status` only where it differs from the table. */
export class RegistryError extends Error {
  readonly code: RegistryErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Record<string, string>;
  /** The user who was refused, as far as he is known: for the audit log. */
  readonly subject: string;

  constructor(
    code: RegistryErrorCode,
    message: string,
    options: {
      status?: number;
      detail?: unknown;
      headers?: Record<string, string>;
      subject?: string;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "RegistryError";
    this.code = code;
    this.status = options.status ?? STATUS[code];
    this.detail = options.detail;
    this.headers = options.headers ?? {};
    this.subject = options.subject ?? "";
  }
}
