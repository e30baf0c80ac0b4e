// A registry in memory over node:http, as far as the client needs one: it counts what is asked and
// can be told to misbehave at a given request (cut, lie, refuse, ask for a token).

import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { FakeUploads, type UploadFault } from "./registry-uploads.ts";

export const digest = (data: Uint8Array | string): string =>
  `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** Done to the next `times` requests whose "METHOD path" matches. */
export interface Fault extends UploadFault {
  match: RegExp;
  times?: number;
  /** The connection breaks after so many bytes of the body. */
  cutAt?: number;
  /** A well-formed answer with fewer bytes than the blob has. */
  truncateTo?: number;
  /** So many bytes, and the rest when `resume` resolves. */
  pauseAt?: number;
  resume?: Promise<unknown>;
  /** So many bytes, then nothing; the connection stays. */
  stallAt?: number;
  /** So many bytes at a time, and a pause after each. */
  trickle?: { bytes: number; pauseMs: number };
  /** Other bytes of the same length. */
  corrupt?: boolean;
  status?: number;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}
export interface RegistryOptions {
  /** Basic credentials; also those that the token service takes. */
  user?: { name: string; password: string };
  /** Bearer tokens: "anonymous" gives one for pulls to anybody. */
  tokens?: "anonymous" | "users";
  /** Blobs are served whole whatever Range says, or a Range is refused. */
  noRanges?: boolean | "refused";
}

export class FakeRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  /** "repository blob" pairs. */
  readonly links = new Set<string>();
  readonly manifests = new Map<string, { raw: Buffer; type: string }>();
  readonly requests: string[] = [];
  readonly headers: IncomingMessage["headers"][] = [];
  /** What each token was asked for. */
  readonly tokenScopes: string[][] = [];
  /** What was asked of blobs, and how many bytes went out. */
  readonly reads: { blob: string; range: string | undefined; from: number; sent: number }[] = [];
  readonly uploads = new FakeUploads({
    put: (repository, data, name) => {
      this.blobs.set(name, data);
      this.links.add(`${repository} ${name}`);
    },
    mount: (repository, from, name) => {
      if (!this.links.has(`${from} ${name}`)) return false;
      this.links.add(`${repository} ${name}`);
      return true;
    },
  });
  /** Blobs are answered when it resolves. */
  blobGate: Promise<unknown> = Promise.resolve();
  faults: Fault[] = [];
  #options: RegistryOptions;
  #server: Server;
  #tokens = new Set<string>();

  private constructor(options: RegistryOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async listen(options: RegistryOptions = {}, port = 0): Promise<FakeRegistry> {
    const registry = new FakeRegistry(options);
    await new Promise<void>((resolve) =>
      registry.#server.listen(port, "127.0.0.1", () => resolve()),
    );
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  putBlob(
    repository: string,
    data: Uint8Array,
    name = digest(data),
  ): { digest: string; size: number } {
    this.blobs.set(name, Buffer.from(data));
    this.links.add(`${repository} ${name}`);
    return { digest: name, size: data.length };
  }

  putManifest(repository: string, tag: string, document: object, type: string): string {
    const raw = Buffer.from(JSON.stringify(document));
    for (const name of [tag, digest(raw)])
      this.manifests.set(`${repository} ${name}`, { raw, type });
    return digest(raw);
  }

  asked(pattern: RegExp): string[] {
    return this.requests.filter((request) => pattern.test(request));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, `http://${this.host}`);
    const line = `${request.method} ${url.pathname}`;
    this.requests.push(line);
    this.headers.push(request.headers);
    const fault = this.#fault(line);
    if (fault?.status !== undefined) {
      request.resume();
      response.writeHead(fault.status, fault.headers).end(fault.body ?? "");
      return;
    }
    if (url.pathname === "/token") {
      this.tokenScopes.push(url.searchParams.getAll("scope"));
      return this.#token(request, response);
    }
    if (!this.#allowed(request)) return this.#challenge(response, url);
    const found = /^\/v2\/(.+?)\/(blobs|manifests|tags)\/(.*)$/.exec(url.pathname);
    if (url.pathname === "/v2/") return void response.writeHead(200).end("{}");
    if (url.pathname === "/v1/search") return this.#search(response, url);
    if (found === null) return void refuse(response, 404, "UNSUPPORTED");
    const [, repository = "", kind, rest = ""] = found;
    if (kind === "tags") return this.#tags(response, repository);
    if (kind === "manifests") return this.#manifest(request, response, repository, rest);
    if (rest.startsWith("uploads/")) {
      return this.uploads.answer(request, response, {
        repository,
        url,
        ...(fault ? { fault } : {}),
      });
    }
    return this.#blob(request, response, { repository, name: rest, fault });
  }

  #fault(line: string): Fault | undefined {
    const fault = this.faults.find(({ match, times = 1 }) => times > 0 && match.test(line));
    if (fault) fault.times = (fault.times ?? 1) - 1;
    return fault;
  }

  #allowed({ headers }: IncomingMessage): boolean {
    const { user, tokens } = this.#options;
    const given = headers.authorization ?? "";
    if (tokens) return this.#tokens.has(given.replace(/^Bearer /, ""));
    return user === undefined || given === basic(user);
  }

  #challenge(response: ServerResponse, { host, pathname }: URL): void {
    const repository = /^\/v2\/(.+?)\/(?:blobs|manifests|tags)\//.exec(pathname)?.[1];
    const scope = repository ? `,scope="repository:${repository}:pull"` : "";
    const challenge = this.#options.tokens
      ? `Bearer realm="http://${host}/token",service="fake"${scope}`
      : 'Basic realm="fake"';
    refuse(response, 401, "UNAUTHORIZED", { "WWW-Authenticate": challenge });
  }

  #token(request: IncomingMessage, response: ServerResponse): void {
    const { user, tokens } = this.#options;
    const known = user !== undefined && request.headers.authorization === basic(user);
    if (!known && (tokens === "users" || request.headers.authorization)) {
      return void response
        .writeHead(401, { "Content-Type": "application/json" })
        .end('{"details":"incorrect username or password"}');
    }
    const token = randomBytes(8).toString("hex");
    this.#tokens.add(token);
    response.end(JSON.stringify({ token, expires_in: 300 }));
  }

  #search(response: ServerResponse, url: URL): void {
    const name = url.searchParams.get("q") ?? "";
    const result = { name, description: "found", star_count: 3, is_official: true };
    response.end(JSON.stringify({ results: [result, { ...result, name: `${name}-2` }] }));
  }

  #tags(response: ServerResponse, repository: string): void {
    const names = [...this.manifests.keys()]
      .filter((key) => key.startsWith(`${repository} `) && !key.includes("sha256:"))
      .map((key) => key.slice(repository.length + 1));
    if (names.length === 0) return void refuse(response, 404, "NAME_UNKNOWN");
    response.end(JSON.stringify({ name: repository, tags: names }));
  }

  async #manifest(
    request: IncomingMessage,
    response: ServerResponse,
    repository: string,
    name: string,
  ): Promise<void> {
    if (request.method === "PUT") {
      const entry = { raw: await body(request), type: request.headers["content-type"] ?? "" };
      this.manifests.set(`${repository} ${name}`, entry);
      this.manifests.set(`${repository} ${digest(entry.raw)}`, entry);
      return void response.writeHead(201).end();
    }
    const found = this.manifests.get(`${repository} ${name}`);
    if (found === undefined) return void refuse(response, 404, "MANIFEST_UNKNOWN");
    response.writeHead(200, {
      "Content-Type": found.type,
      "Content-Length": found.raw.length,
      "Docker-Content-Digest": digest(found.raw),
    });
    response.end(request.method === "HEAD" ? undefined : found.raw);
  }

  async #blob(
    request: IncomingMessage,
    response: ServerResponse,
    { repository, name, fault }: { repository: string; name: string; fault: Fault | undefined },
  ): Promise<void> {
    let data = this.blobs.get(name);
    if (data === undefined || !this.links.has(`${repository} ${name}`)) {
      return void refuse(response, 404, "BLOB_UNKNOWN");
    }
    if (fault?.corrupt) data = Buffer.alloc(data.length, 7);
    if (fault?.truncateTo !== undefined) data = data.subarray(0, fault.truncateTo);
    const { range: asked } = request.headers;
    const { noRanges } = this.#options;
    const range = noRanges ? null : /^bytes=(\d+)-(\d*)$/.exec(asked ?? "");
    if (asked && noRanges === "refused") return void refuse(response, 501, "UNSUPPORTED");
    const from = Number(range?.[1] ?? 0);
    const to = Math.min(data.length, range?.[2] ? Number(range[2]) + 1 : data.length);
    if (range && from >= data.length) return void refuse(response, 416, "UNKNOWN");
    response.writeHead(range ? 206 : 200, {
      "Content-Length": to - from,
      ...(range ? { "Content-Range": `bytes ${from}-${to - 1}/${data.length}` } : {}),
    });
    if (request.method === "HEAD") return void response.end();
    const read = { blob: name, range: asked, from, sent: 0 };
    this.reads.push(read);
    response.flushHeaders();
    await this.blobGate;
    if (fault?.trickle) return void (await trickle(response, data.subarray(from, to), read, fault));
    const end = Math.min(to, from + (fault?.cutAt ?? fault?.stallAt ?? to));
    read.sent = end - from;
    let start = from;
    if (fault?.pauseAt !== undefined) {
      start = Math.min(end, from + fault.pauseAt);
      response.write(data.subarray(from, start));
      await fault.resume;
    }
    response.write(data.subarray(start, end), () => {
      if (fault?.cutAt !== undefined) response.destroy();
      else if (fault?.stallAt === undefined) response.end();
    });
  }
}

async function trickle(
  response: ServerResponse,
  data: Buffer,
  read: { sent: number },
  { trickle: { bytes, pauseMs } = { bytes: 1, pauseMs: 1 } }: Fault,
): Promise<void> {
  while (read.sent < data.length && !response.destroyed) {
    const part = data.subarray(read.sent, read.sent + bytes);
    response.write(part);
    read.sent += part.length;
    await delay(pauseMs);
  }
  response.end();
}

const basic = ({ name, password }: { name: string; password: string }): string =>
  `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  const message = code.toLowerCase().replaceAll("_", " ");
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
