// Requests of the drivers that speak HTTP: answers are bounded in size and time, connections are
// kept, certificates can be of the receiver's own authority, proxies are the daemon's.

import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { GantryError } from "../../base/index.ts";
import { systemRoots } from "../../distribution/index.ts";
import { dialError } from "./dial.ts";
import { hostPort } from "./options.ts";

const TIMEOUT_MS = 30_000;
const ANSWER_BYTES_MAX = 1024 * 1024;
const SOCKETS_MAX = 2;

export interface HttpAnswer {
  status: number;
  /** "400 Bad Request" */
  statusText: string;
  body: Buffer;
}

export interface HttpCall {
  method: "GET" | "POST" | "OPTIONS" | "PUT";
  url: string;
  headers?: Record<string, string>;
  body?: Uint8Array | string;
  signal: AbortSignal;
}

export class HttpSender {
  readonly #tls: ConnectionOptions;
  #http: HttpAgent | undefined;
  #https: HttpsAgent | undefined;

  constructor({ tls = {} }: { tls?: ConnectionOptions } = {}) {
    this.#tls = tls;
  }

  async #agentFor(isTls: boolean): Promise<HttpAgent | HttpsAgent> {
    const kept = { keepAlive: true, maxSockets: SOCKETS_MAX, proxyEnv: process.env };
    if (!isTls) return (this.#http ??= new HttpAgent(kept));
    const ca = [...(await systemRoots())];
    return (this.#https ??= new HttpsAgent({ ...kept, ca, ...this.#tls }));
  }

  /** Resolves with any answer; throws unavailable, in Go's words, where there is none. */
  async call({ method, url, headers = {}, body, signal }: HttpCall): Promise<HttpAnswer> {
    const late = AbortSignal.timeout(TIMEOUT_MS);
    const isTls = url.startsWith("https:");
    const length = body === undefined ? {} : { "content-length": `${Buffer.byteLength(body)}` };
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    const request = (isTls ? httpsRequest : httpRequest)(url, {
      method,
      headers: { ...headers, ...length },
      agent: await this.#agentFor(isTls),
      signal: AbortSignal.any([signal, late]),
    });
    request.once("error", reject);
    request.once("response", (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("error", reject);
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error("the receiver answers too much"));
        else chunks.push(chunk);
      });
      response.once("end", () => {
        const status = response.statusCode ?? 0;
        const statusText = `${status} ${response.statusMessage ?? ""}`.trim();
        resolve({ status, statusText, body: Buffer.concat(chunks) });
      });
    });
    request.end(body);
    try {
      return await promise;
    } catch (error) {
      request.destroy();
      signal.throwIfAborted();
      throw failure({ method, url }, late.aborted ? timedOut() : error);
    }
  }

  close(): void {
    this.#http?.destroy();
    this.#https?.destroy();
  }
}

/** As Go's url.Error: `Post "http://…": dial tcp …`. */
function failure({ method, url }: { method: string; url: string }, cause: unknown): GantryError {
  const { host, hostname, port, protocol } = new URL(url);
  const address = port === "" ? hostPort(hostname, protocol === "https:" ? 443 : 80) : host;
  const first = cause instanceof AggregateError ? cause.errors[0] : cause;
  const verb = method.charAt(0) + method.slice(1).toLowerCase();
  const why = dialError("tcp", address, first).message;
  return new GantryError("unavailable", `${verb} ${JSON.stringify(url)}: ${why}`, { cause });
}

const timedOut = () => Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" });
