// One request and its answer, as the routes see them: what was asked, who asks, and the few ways to
// answer. Errors become the spec's JSON here and nowhere else.

import type { IncomingMessage, ServerResponse } from "node:http";
import { kindOf, type Logger } from "../base/index.ts";
import type { Access, Grant, RegistryContent, RegistryEvent, RequestFacts } from "./contract.ts";
import { RegistryError } from "./errors.ts";
import type { RegistryLimits } from "./options.ts";

export type Headers = Record<string, string | number | string[]>;

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly facts: RequestFacts;
  readonly content: RegistryContent;
  readonly limits: RegistryLimits;
  /** Who asks; set once admitted. */
  grant: Grant | undefined;
  errorCode: string | undefined;
  /** Who was refused, or who used an extra route, where no grant says it. */
  subject = "";
  readonly #announce: (event: Omit<RegistryEvent, "id" | "at" | "request" | "subject">) => void;
  #query: URLSearchParams | undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    surroundings: {
      facts: RequestFacts;
      content: RegistryContent;
      limits: RegistryLimits;
      announce: (exchange: Exchange, event: Parameters<Exchange["announce"]>[0]) => void;
    },
  ) {
    this.request = request;
    this.response = response;
    this.facts = surroundings.facts;
    this.content = surroundings.content;
    this.limits = surroundings.limits;
    this.#announce = (event) => surroundings.announce(this, event);
  }

  get isHead(): boolean {
    return this.request.method === "HEAD";
  }

  get query(): URLSearchParams {
    const url = this.request.url ?? "";
    const mark = url.indexOf("?");
    return (this.#query ??= new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)));
  }

  /** Whether the caller may also do this. */
  allows(access: Access): boolean {
    return this.grant?.allows(access) ?? false;
  }

  /** Tells observers what happened. */
  announce(event: Omit<RegistryEvent, "id" | "at" | "request" | "subject">): void {
    this.#announce(event);
  }

  /** The body, to be read now: a client that waits for permission gets it. */
  body(): IncomingMessage {
    const { request, response } = this;
    if (/^100-continue$/i.test(request.headers.expect ?? "")) response.writeContinue();
    return request;
  }

  /** Runs what may take long without a byte moving on the connection (hashing, syncing a large
   * upload), which is not to be taken for a client that sleeps. */
  async patiently<T>(work: () => Promise<T>): Promise<T> {
    const { socket } = this.request;
    socket.setTimeout(0);
    try {
      return await work();
    } finally {
      socket.setTimeout(this.limits.idleMsMax);
    }
  }

  get hasBody(): boolean {
    const { headers } = this.request;
    return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  }

  /** The whole body; 413 when it is larger than `bytesMax`, 408 when it only trickles. */
  async bodyWhole(bytesMax: number): Promise<Buffer> {
    if (Number(this.request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge(bytesMax);
    const { idleMsMax } = this.limits;
    const startedAt = performance.now();
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.body().iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length;
      if (size > bytesMax) throw tooLarge(bytesMax);
      // One who sends nothing at all is cut off by the socket's own timeout.
      if (performance.now() - startedAt > idleMsMax) throw tooSlow(idleMsMax);
      chunks.push(chunk as Buffer);
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }

  answer(status: number, headers: Headers, body?: Uint8Array | string): void {
    const { response } = this;
    if (response.headersSent || response.destroyed) return;
    if (body === undefined && headers["Content-Length"] === undefined && status !== 204) {
      headers["Content-Length"] = 0;
    }
    response.writeHead(status, headers);
    response.end(this.isHead ? undefined : body);
  }

  json(status: number, value: unknown, headers: Headers = {}): void {
    const body = Buffer.from(JSON.stringify(value));
    headers["Content-Type"] ??= "application/json";
    headers["Content-Length"] = body.length;
    this.answer(status, headers, body);
  }

  /** Answers with an error, as far as an answer is still possible. */
  fail(error: unknown, logger: Logger): void {
    const known = asRegistryError(error);
    this.subject = known?.subject ?? "";
    if (known === undefined) {
      if (!isGone(this.request, this.response, error)) {
        logger.error("A request failed", { url: this.request.url, error });
      }
    }
    if (known?.code === "UNAVAILABLE" && known.cause !== undefined) {
      logger.warn("A request could not be served", { url: this.request.url, error: known.cause });
    }
    if (this.response.headersSent) {
      this.response.destroy();
      return;
    }
    const { code, status, message, detail, headers } = known ?? INTERNAL;
    this.errorCode = code;
    // docker's client takes an error without detail for an unknown one: it drops the message, and
    // tries a refused push again for a minute.
    const entry = { code, message, detail: detail ?? {} };
    this.json(status, { errors: [entry] }, { ...headers });
  }
}

const INTERNAL = {
  code: "UNKNOWN",
  status: 500,
  message: "the registry failed; its log says why",
  detail: undefined,
  headers: {},
};

function asRegistryError(error: unknown): RegistryError | undefined {
  if (error instanceof RegistryError) return error;
  const kind = kindOf(error);
  if (kind !== "unavailable" && kind !== "exhausted" && kind !== "timeout") return undefined;
  return new RegistryError("UNAVAILABLE", "the registry cannot do this now: try again later", {
    headers: { "Retry-After": "5" },
    cause: error,
  });
}

function isGone(request: IncomingMessage, response: ServerResponse, error: unknown): boolean {
  return request.errored != null || response.destroyed || kindOf(error) === "cancelled";
}

function tooLarge(bytesMax: number): RegistryError {
  return new RegistryError("SIZE_INVALID", `the manifest is larger than ${bytesMax} bytes`, {
    status: 413,
    detail: { bytesMax },
  });
}

function tooSlow(idleMsMax: number): RegistryError {
  const message = `the manifest did not come within ${idleMsMax / 1000} s`;
  return new RegistryError("MANIFEST_INVALID", message, {
    status: 408,
    headers: { Connection: "close" },
  });
}
