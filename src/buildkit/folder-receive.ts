// A client's folder as it comes (FileSync.DiffCopy): names first, in order; contents as they are
// asked for. Everything of a folder comes over one stream: while contents that are under way are
// not read, the client is held back, names included.

import { GantryError } from "../base/index.ts";
import type { ClientFile, ClientFolder, FolderRequest } from "../engine/index.ts";
import { PACKET, type Packet, PacketWriter, PathOrder, readPacket } from "../wire/index.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { MessageQueue } from "./message-queue.ts";
import { encodeMetadata } from "./metadata.ts";

export const DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy";
/** Contents that are here and not read yet. */
const BUFFERED_BYTES_MAX = 4 * 1024 * 1024;
/** Names that are here and not read yet, as much as a folder of 200,000 files has. */
const NAMES_BYTES_MAX = 32 * 1024 * 1024;

interface Content {
  chunks: Buffer[];
  ended: boolean;
  wake?: (() => void) | undefined;
  /** Nobody reads it any more. */
  isDropped: boolean;
}

export class ReceivedFolder implements ClientFolder {
  readonly entries: AsyncIterable<ClientFile>;
  readonly #call: GrpcCall;
  readonly #names = new Names();
  readonly #order = new PathOrder();
  readonly #writer = new PacketWriter();
  readonly #contents = new Map<number, Content>();
  readonly #asked = new Set<number>();
  #buffered = 0;
  #isPaused = false;
  #error: unknown;
  #isFinished = false;
  readonly #end = Promise.withResolvers<void>();

  constructor(
    connection: ClientConnection,
    { name, include, exclude, followPaths }: FolderRequest,
    signal: AbortSignal,
  ) {
    this.entries = this.#names;
    this.#end.promise.catch(() => {});
    this.#call = connection.call({
      path: DIFF_COPY,
      metadata: encodeMetadata({
        ...{ "dir-name": [name], followpaths: followPaths },
        ...{ "include-patterns": include, "exclude-patterns": exclude },
      }),
      signal,
      message: (bytes) => this.#packet(readPacket(bytes)),
      ended: (error) => this.#ended(error),
    });
    this.#names.paced = () => this.#pace();
  }

  async *content(index: number): AsyncGenerator<Uint8Array> {
    if (this.#asked.has(index)) {
      throw new GantryError("internal", `file ${index} of a folder was read twice`);
    }
    this.#asked.add(index);
    if (this.#error !== undefined) throw this.#error;
    const content: Content = { chunks: [], ended: false, isDropped: false };
    this.#contents.set(index, content);
    this.#send({ type: PACKET.request, id: index });
    try {
      for (;;) {
        const chunk = content.chunks.shift();
        if (chunk) {
          this.#buffered -= chunk.length;
          this.#pace();
          yield chunk;
        } else if (content.ended) return;
        else if (this.#error !== undefined) throw this.#error;
        else {
          await new Promise<void>((resolve) => {
            content.wake = resolve;
          });
        }
      }
    } finally {
      this.#drop(index, content);
    }
  }

  async finish(): Promise<void> {
    if (!this.#isFinished) {
      this.#isFinished = true;
      this.#send({ type: PACKET.finish });
      this.#pace();
    }
    await this.#end.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#call.cancel(new GantryError("cancelled", "the folder is not wanted any more"));
  }

  #send(packet: { type: number; id?: number }): void {
    this.#writer.write(packet);
    void this.#call.sendFrames(this.#writer.take());
  }

  #packet(packet: Packet): void {
    if (packet.type === PACKET.stat) this.#stat(packet.stat);
    else if (packet.type === PACKET.data) this.#data(packet);
    else if (packet.type === PACKET.finish) this.#call.finish();
    else if (packet.type === PACKET.error) {
      throw new GantryError("invalid", `error from sender: ${packet.data.toString("utf8")}`);
    } else throw new GantryError("corrupt", `the client sent a packet of kind ${packet.type}`);
    this.#pace();
  }

  /** An entry, or the end of them. */
  #stat(file: ClientFile | undefined): void {
    if (!file || file.path === "") {
      this.#names.end();
      return;
    }
    this.#order.check(file);
    this.#names.push(file);
  }

  #data({ id, data }: Packet): void {
    const content = this.#contents.get(id);
    if (!content || content.ended) {
      throw new GantryError("corrupt", `the client sent contents that nobody asked for: ${id}`);
    }
    if (data.length === 0) {
      content.ended = true;
      this.#contents.delete(id);
    } else if (!content.isDropped) {
      // A piece of a larger message: kept alive as long as its file is read.
      content.chunks.push(data);
      this.#buffered += data.length;
    }
    content.wake?.();
  }

  #drop(index: number, content: Content): void {
    content.isDropped = true;
    for (const { length } of content.chunks) this.#buffered -= length;
    content.chunks = [];
    if (content.ended) this.#contents.delete(index);
    this.#pace();
  }

  /** Holds the client back, or lets it go on. */
  #pace(): void {
    const isFull =
      !this.#isFinished &&
      (this.#buffered > BUFFERED_BYTES_MAX || this.#names.bytes > NAMES_BYTES_MAX);
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.#call.pause();
    else this.#call.resume();
  }

  #ended(error: unknown): void {
    const isWhole = this.#isFinished && error === undefined;
    if (isWhole) this.#end.resolve();
    else {
      this.#error = error ?? new GantryError("cancelled", "the client stopped sending its folder");
      this.#end.reject(this.#error);
    }
    this.#names.fail(this.#error);
    for (const content of this.#contents.values()) content.wake?.();
  }
}

/** The folder's names, and how much they take. */
class Names implements AsyncIterable<ClientFile> {
  readonly #queue = new MessageQueue<ClientFile>();
  bytes = 0;
  paced: () => void = () => {};

  push(file: ClientFile): void {
    this.bytes += cost(file);
    this.#queue.push(file, 0);
  }

  end(): void {
    this.#queue.end(undefined);
  }

  fail(error: unknown): void {
    this.#queue.end(error ?? new GantryError("cancelled", "the folder's names did not all come"));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ClientFile> {
    for await (const file of this.#queue) {
      this.bytes -= cost(file);
      if (this.bytes < NAMES_BYTES_MAX / 2) this.paced();
      yield file;
    }
  }
}

/** About what an entry takes. */
const cost = ({ path, linkname }: ClientFile): number => 160 + path.length + linkname.length;
