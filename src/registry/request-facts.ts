// The facts of a request for gatekeepers and observers, worked out only when somebody asks: most
// requests of a busy registry are answered without most of them.

import type { IncomingMessage } from "node:http";
import type { RequestFacts } from "./contract.ts";
import type { RegistryOptions } from "./options.ts";

let requests = 0;
const processName = `${process.pid.toString(36)}${Date.now().toString(36)}`;

type Surroundings = Pick<RegistryOptions, "proxies" | "certificateSubject">;

export class LazyFacts implements RequestFacts {
  readonly #request: IncomingMessage;
  readonly #surroundings: Surroundings;
  #id: string | undefined;
  #url: URL | undefined;

  constructor(request: IncomingMessage, surroundings: Surroundings) {
    this.#request = request;
    this.#surroundings = surroundings;
  }

  get id(): string {
    return (this.#id ??= `${processName}-${(++requests).toString(36)}`);
  }
  get method(): string {
    return this.#request.method ?? "GET";
  }
  get url(): URL {
    return (this.#url ??= this.#parseUrl());
  }
  get authorization(): string | undefined {
    return this.#request.headers.authorization;
  }
  get remoteAddress(): string {
    const peer = this.#request.socket.remoteAddress ?? "";
    const { proxies } = this.#surroundings;
    return proxies?.clientAddress(peer, header(this.#request, "x-forwarded-for")) ?? peer;
  }
  get userAgent(): string {
    return this.#request.headers["user-agent"] ?? "";
  }
  get clientCertificate(): string | undefined {
    return this.#surroundings.certificateSubject?.(this.#request.socket);
  }

  #parseUrl(): URL {
    const { headers, socket, url = "/" } = this.#request;
    let scheme = "encrypted" in socket && socket.encrypted ? "https" : "http";
    let host = headers.host ?? "localhost";
    if (this.#surroundings.proxies?.trusts(socket.remoteAddress ?? "")) {
      const forwarded = header(this.#request, "x-forwarded-proto");
      if (forwarded === "http" || forwarded === "https") scheme = forwarded;
      host = header(this.#request, "x-forwarded-host") ?? host;
    }
    const path = url.startsWith("/") ? url : "/";
    const base = `${scheme}://${host}`;
    const isWhole = URL.canParse(base) && URL.canParse(base + path);
    return new URL(isWhole ? base + path : `${scheme}://localhost/`);
  }
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
