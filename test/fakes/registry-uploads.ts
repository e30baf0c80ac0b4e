// The upload half of the fake registry: sessions that keep what came before a connection broke,
// tell how far they are, and can be told to forget, to lose answers or to want chunks.

import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

export interface UploadBehaviour {
  /** Takes a whole blob with the POST. */
  single?: boolean;
  /** OCI-Chunk-Min-Length. */
  chunkBytesMin?: number;
  /** Content without a length is refused with 411. */
  needsLength?: boolean;
  /** More than so many bytes in one request are refused with 413. */
  requestBytesMax?: number;
  /** Nothing is known of a session after a break. */
  forgets?: boolean;
  /** Locations with scheme and host of this base. */
  absoluteTo?: string;
}
export interface UploadFault {
  /** The connection breaks when so many bytes of the request's content have come. */
  cutUploadAt?: number;
  /** Everything is done, and the answer never comes. */
  loseAnswer?: boolean;
}
type Session = { chunks: Buffer[]; bytes: number };
type Store = {
  put(repository: string, data: Buffer, digest: string): void;
  mount(repository: string, from: string, digest: string): boolean;
};

export class FakeUploads {
  readonly sessions = new Map<string, Session>();
  behaviour: UploadBehaviour = {};
  /** Bytes of blob content that came in, those of broken requests included. */
  bytesReceived = 0;
  #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    { repository, url, fault = {} }: { repository: string; url: URL; fault?: UploadFault },
  ): Promise<void> {
    if (request.method === "POST") return await this.#open(request, response, repository, url);
    const id = url.pathname.split("/").at(-1)!;
    const session = this.sessions.get(id);
    if (session === undefined) return refuse(response, 404, "BLOB_UPLOAD_UNKNOWN");
    if (request.method === "DELETE") {
      this.sessions.delete(id);
      return void response.writeHead(204).end();
    }
    const progress = (): Record<string, string> => ({
      Location: this.#location(repository, id),
      Range: `0-${Math.max(0, session.bytes - 1)}`,
    });
    if (request.method === "GET") {
      if (this.behaviour.forgets) return refuse(response, 404, "BLOB_UPLOAD_UNKNOWN");
      return void response.writeHead(204, progress()).end();
    }
    if (!this.#fits(request, response, session)) return;
    if (!(await this.#receive(request, session, fault.cutUploadAt))) return;
    if (request.method === "PATCH") {
      if (fault.loseAnswer) return void request.socket.destroy();
      return void response.writeHead(202, progress()).end();
    }
    this.#finish(request, response, { id, session, repository, url, fault });
  }

  async #open(
    request: IncomingMessage,
    response: ServerResponse,
    repository: string,
    url: URL,
  ): Promise<void> {
    const session: Session = { chunks: [], bytes: 0 };
    const mount = url.searchParams.get("mount");
    const from = url.searchParams.get("from");
    if (mount && from && this.#store.mount(repository, from, mount)) {
      request.resume();
      return void response.writeHead(201, { "Docker-Content-Digest": mount }).end();
    }
    const digest = url.searchParams.get("digest");
    const id = randomBytes(4).toString("hex");
    if (digest && this.behaviour.single) {
      if (!(await this.#receive(request, session, undefined))) return;
      return this.#finish(request, response, { id, session, repository, url, fault: {} });
    }
    request.resume();
    this.sessions.set(id, session);
    const { chunkBytesMin } = this.behaviour;
    response.writeHead(202, {
      Location: this.#location(repository, id),
      Range: "0-0",
      ...(chunkBytesMin ? { "OCI-Chunk-Min-Length": chunkBytesMin } : {}),
    });
    response.end();
  }

  #location(repository: string, id: string): string {
    const { absoluteTo = "" } = this.behaviour;
    return `${absoluteTo}/v2/${repository}/blobs/uploads/${id}?state=${randomBytes(2).toString("hex")}`;
  }

  #fits(request: IncomingMessage, response: ServerResponse, { bytes }: Session): boolean {
    const { needsLength, requestBytesMax = Number.POSITIVE_INFINITY } = this.behaviour;
    const length = request.headers["content-length"];
    const start = /^(\d+)-\d+$/.exec(request.headers["content-range"] ?? "")?.[1];
    let status = 0;
    if (needsLength && length === undefined) status = 411;
    else if (Number(length ?? requestBytesMax) > requestBytesMax) status = 413;
    else if (start !== undefined && Number(start) !== bytes) status = 416;
    if (status === 0) return true;
    request.resume();
    refuse(response, status, status === 416 ? "RANGE_INVALID" : "SIZE_INVALID");
    return false;
  }

  /** Returns whether the content came to its end. */
  async #receive(
    request: IncomingMessage,
    session: Session,
    cutAt = Number.POSITIVE_INFINITY,
  ): Promise<boolean> {
    let came = 0;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        const taken = chunk.subarray(0, Math.max(0, cutAt - came));
        session.chunks.push(taken);
        session.bytes += taken.length;
        this.bytesReceived += taken.length;
        came += chunk.length;
        if (came < cutAt) continue;
        request.socket.destroy();
        return false;
      }
    } catch {
      return false;
    }
    return true;
  }

  #finish(
    request: IncomingMessage,
    response: ServerResponse,
    o: { id: string; session: Session; repository: string; url: URL; fault: UploadFault },
  ): void {
    const whole = Buffer.concat(o.session.chunks);
    const want = o.url.searchParams.get("digest") ?? "";
    this.sessions.delete(o.id);
    if (digestAs(want, whole) !== want) return void refuse(response, 400, "DIGEST_INVALID");
    this.#store.put(o.repository, whole, want);
    if (o.fault.loseAnswer) return void request.socket.destroy();
    response.writeHead(201, { "Docker-Content-Digest": want }).end();
  }
}

function digestAs(like: string, data: Buffer): string {
  const algorithm = like.startsWith("sha512:") ? "sha512" : "sha256";
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}

function refuse(response: ServerResponse, status: number, code: string): void {
  const message = code.toLowerCase().replaceAll("_", " ");
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}
