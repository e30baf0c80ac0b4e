// The typed door to the Docker Engine API for the client side: version negotiation, keep-alive,
// hijacked streams. It knows the protocol and nothing of commands; how failures are told is in
// request-errors.ts.

import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";
import { type Environment, openStream, type TlsMaterial } from "./connect.ts";
import type { Endpoint } from "./endpoint.ts";
import {
  type Body,
  type Headers,
  HttpConnection,
  type RawResponse,
  type RequestHeaders,
} from "./http1.ts";
import {
  connectionError,
  hostHeader,
  requestError,
  responseError,
  shownUrl,
  verbOf,
} from "./request-errors.ts";

/** The newest API version that this client speaks, and the oldest that it still understands. */
export const API_VERSION = "1.50";
export const API_VERSION_MIN = "1.24";
const IDLE_CONNECTIONS_MAX = 4;
const ERROR_BODY_BYTES_MAX = 1 << 20;

export type QueryValue = string | number | boolean | readonly string[] | undefined;
export type Query = Record<string, QueryValue>;

export interface CallOptions {
  query?: Query;
  /** An object is sent as JSON. */
  json?: unknown;
  body?: Body;
  contentType?: string;
  headers?: RequestHeaders;
  signal?: AbortSignal;
  /** What a hijacked connection becomes; "tcp" where nothing is said. */
  upgrade?: string;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: AsyncGenerator<Buffer, void, void>;
}
/** A hijacked connection: raw bytes both ways; the content type tells whether it is framed. */
export interface Hijacked {
  stream: Duplex;
  contentType: string;
}

export interface ClientOptions {
  endpoint: Endpoint;
  tls?: TlsMaterial;
  /** Sent with every request (config.json HttpHeaders). */
  headers?: Headers;
  userAgent?: string;
  /** Pins the API version; otherwise it is negotiated. */
  version?: string;
  /** For programs that connecting starts (ssh). */
  environment?: Environment;
  /** When aborted, every connection is cut, hijacked ones too. */
  signal?: AbortSignal;
}

export interface PingResult {
  apiVersion: string;
  osType: string;
  experimental: boolean;
}

export class Client {
  #endpoint: Endpoint;
  #tls: TlsMaterial | undefined;
  #environment: Environment | undefined;
  #headers: Headers;
  #version: string;
  #negotiated: boolean;
  #negotiation: Promise<void> | undefined;
  #idle: HttpConnection[] = [];
  #open = new Set<Duplex>();
  ping: PingResult | undefined;

  constructor(options: ClientOptions) {
    const { endpoint, tls, headers = {}, userAgent, version, signal, environment } = options;
    this.#environment = environment;
    this.#endpoint = endpoint;
    this.#tls = tls;
    this.#version = version ?? API_VERSION;
    this.#negotiated = version !== undefined;
    this.#headers = {
      Host: hostHeader(endpoint),
      "User-Agent": userAgent ?? "Gantry-Client (linux)",
      ...headers,
    };
    signal?.addEventListener("abort", () => {
      for (const stream of this.#open) stream.destroy();
    });
  }

  get endpoint(): Endpoint {
    return this.#endpoint;
  }
  get version(): string {
    return this.#version;
  }

  /** Settles the API version with the daemon, once. */
  async negotiate(): Promise<void> {
    this.#negotiation ??= this.#negotiate();
    try {
      await this.#negotiation;
    } catch (error) {
      this.#negotiation = undefined;
      throw error;
    }
  }

  async #negotiate(): Promise<void> {
    if (this.#negotiated && this.ping) return;
    const { headers, body } = await this.#send("HEAD", `${this.#prefix()}/_ping`, {});
    for await (const _ of body);
    const apiVersion = headers["api-version"] || "1.24";
    this.ping = {
      apiVersion,
      osType: headers["ostype"] ?? "",
      experimental: headers["docker-experimental"] === "true",
    };
    if (this.#negotiated) return;
    if (compareVersions(apiVersion, this.#version) < 0) this.#version = apiVersion;
    this.#negotiated = true;
  }

  #prefix(): string {
    return this.#endpoint.kind === "tcp" ? this.#endpoint.path : "";
  }

  /** One request whose answer is streamed; statuses of 400 and more throw. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    // A failure to ask for the version is the request's own failure in a moment.
    if (!this.#negotiated) await this.negotiate().catch(() => {});
    const url = `${this.#prefix()}/v${this.#version}${path}${queryString(options.query)}`;
    const response = await this.#send(method, url, options);
    if (response.status >= 400) throw await errorOf(response, url);
    return { status: response.status, headers: response.headers, body: response.body };
  }

  /** One request whose answer is JSON. */
  async json<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const text = await readAll((await this.call(method, path, options)).body);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /** The answer's JSON as text, for commands that show it unchanged. */
  async text(method: string, path: string, options: CallOptions = {}): Promise<string> {
    return readAll((await this.call(method, path, options)).body);
  }

  /** One request whose answer is of no interest. */
  async empty(method: string, path: string, options: CallOptions = {}): Promise<number> {
    const { status, body } = await this.call(method, path, options);
    for await (const _ of body);
    return status;
  }

  /** Turns a connection into a raw stream (attach, exec). */
  async hijack(path: string, options: CallOptions = {}): Promise<Hijacked> {
    if (!this.#negotiated) await this.negotiate().catch(() => {});
    const url = `${this.#prefix()}/v${this.#version}${path}${queryString(options.query)}`;
    const connection = await this.#connect("POST", url);
    const response = await this.#exchange(connection, "POST", url, {
      ...options,
      headers: { ...options.headers, Connection: "Upgrade", Upgrade: options.upgrade ?? "tcp" },
    });
    if (response.status >= 400) throw await errorOf(response, url);
    return {
      stream: connection.release(),
      contentType: response.headers["content-type"] ?? "",
    };
  }

  /** Ends every connection, whatever goes on there. */
  cut(): void {
    for (const stream of this.#open) stream.destroy();
  }

  /** Ends idle connections. */
  close(): void {
    for (const connection of this.#idle) connection.socket.destroy();
    this.#idle = [];
  }

  async #connect(method: string, url: string): Promise<HttpConnection> {
    try {
      const stream = await openStream(this.#endpoint, this.#tls, this.#environment);
      this.#open.add(stream);
      stream.once("close", () => this.#open.delete(stream));
      return new HttpConnection(stream);
    } catch (error) {
      const tls = this.#tls !== undefined;
      const request = `${verbOf(method)} ${JSON.stringify(shownUrl(this.#endpoint, tls, url))}`;
      throw connectionError(error, this.#endpoint, request);
    }
  }

  async #send(method: string, url: string, options: CallOptions): Promise<RawResponse> {
    options.signal?.throwIfAborted();
    for (let at = this.#idle.pop(); at; at = this.#idle.pop()) {
      if (at.closed) continue;
      try {
        return await this.#exchange(at, method, url, options);
      } catch (error) {
        // A daemon may close an idle connection at any time; nothing was answered: send again.
        const stream = options.body !== undefined && typeof options.body !== "string";
        if (at.answered || stream || options.signal?.aborted) throw error;
      }
    }
    try {
      return await this.#exchange(await this.#connect(method, url), method, url, options);
    } catch (error) {
      const isStream = options.body !== undefined && typeof options.body !== "string";
      if (isStream || !this.#dialsOtherwise(error)) throw error;
      return this.#exchange(await this.#connect(method, url), method, url, options);
    }
  }

  /** Where there is no docker on the other machine, there may be a gantry. */
  #dialsOtherwise(error: unknown): boolean {
    const endpoint = this.#endpoint;
    const cause = error instanceof GantryError ? error.cause : undefined;
    const isMissing = cause instanceof GantryError && cause.detail["remoteCommandMissing"] === true;
    if (!isMissing || endpoint.kind !== "ssh" || endpoint.program !== undefined) return false;
    this.#endpoint = { ...endpoint, program: "gantry" };
    return true;
  }

  async #exchange(
    connection: HttpConnection,
    method: string,
    url: string,
    options: CallOptions,
  ): Promise<RawResponse> {
    const headers: RequestHeaders = { ...this.#headers, ...options.headers };
    let body = options.body;
    if (options.json !== undefined) {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(options.json);
    } else if (options.contentType !== undefined) headers["Content-Type"] = options.contentType;
    if (body === undefined && method !== "GET" && method !== "HEAD")
      headers["Content-Length"] = "0";
    const onAbort = () => connection.socket.destroy(abortError(options.signal!));
    options.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const response = await connection.request(method, url, headers, body);
      return { ...response, body: this.#tracked(connection, response, options.signal, onAbort) };
    } catch (error) {
      connection.socket.destroy();
      options.signal?.removeEventListener("abort", onAbort);
      if (options.signal?.aborted) throw abortError(options.signal);
      throw requestError(error, method, shownUrl(this.#endpoint, this.#tls !== undefined, url));
    }
  }

  /** Passes the body through and takes the connection back at its end. */
  async *#tracked(
    connection: HttpConnection,
    response: RawResponse,
    signal: AbortSignal | undefined,
    onAbort: () => void,
  ): AsyncGenerator<Buffer, void, void> {
    try {
      yield* response.body;
      if (!connection.reusable || connection.closed) return;
      if (this.#idle.length < IDLE_CONNECTIONS_MAX) this.#idle.push(connection);
      else connection.socket.destroy();
    } catch (error) {
      if (signal?.aborted) throw abortError(signal);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
}

async function errorOf(response: RawResponse, url: string): Promise<GantryError> {
  return responseError(response, await readAll(response.body, ERROR_BODY_BYTES_MAX), url);
}

/** Compares "1.50" and "1.9" as versions: negative, zero or positive. */
export function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  return (left[0] ?? 0) - (right[0] ?? 0) || (left[1] ?? 0) - (right[1] ?? 0);
}

/** Go's url.Values.Encode: sorted by name, booleans as 1 and 0, nothing for what is not set. */
export function queryString(query: Query = {}): string {
  const parts: string[] = [];
  for (const name of Object.keys(query).sort()) {
    const value = query[name];
    if (value === undefined) continue;
    const values = Array.isArray(value) ? value : [value];
    for (const one of values) {
      const text = typeof one === "boolean" ? (one ? "1" : "0") : String(one);
      parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(text)}`);
    }
  }
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

/** Reads a whole body as text. */
export async function readAll(body: AsyncIterable<Buffer>, max = Infinity): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > max) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function abortError(signal: AbortSignal): Error {
  return new GantryError("cancelled", "context canceled", { cause: signal.reason });
}
