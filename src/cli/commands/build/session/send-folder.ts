// The sender of a folder (fsutil's): tells every file, then sends the contents that are asked for,
// until the daemon wants no more. Contents go out while files are still told; a slow daemon slows
// the reading down, and no file is ever in memory whole but a small one.

import { closeSync, constants, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { GantryError, messageOf } from "../../../../base/index.ts";
import { type FileStat, PACKET, PacketWriter, readPacket } from "../../../../wire/index.ts";
import type { ServedCall } from "./grpc-server.ts";
import { fileError, type WalkFilter, walkFolder } from "./walk.ts";

/** Files up to this size are read in one go. */
const SMALL_BYTES = 64 * 1024;
const PIECE_BYTES = 256 * 1024;
const SLICE_MS_MAX = 4;
const FLUSH_BYTES = 60 * 1024;

interface Wanted {
  path: string;
  size: number;
}

/** Serves one call of FileSync.DiffCopy. */
export async function sendFolder(
  call: ServedCall,
  root: string,
  filter: WalkFilter,
): Promise<void> {
  const sender = new FolderSender(call, root);
  try {
    await sender.run(filter);
  } catch (error) {
    if (call.signal.aborted) return;
    const writer = new PacketWriter();
    writer.write({ type: PACKET.error, data: Buffer.from(messageOf(error)) });
    await call.sendFrames(writer.take());
    throw error;
  }
}

class FolderSender {
  readonly #call: ServedCall;
  readonly #root: string;
  readonly #writer = new PacketWriter();
  /** By number; what is no regular file has none. */
  readonly #files: (Wanted | undefined)[] = [];
  #requests: number[] = [];
  #finished = false;
  #failed: unknown;
  #wake: (() => void) | undefined;
  #small = Buffer.allocUnsafe(SMALL_BYTES + 1);
  #since = performance.now();

  constructor(call: ServedCall, root: string) {
    this.#call = call;
    this.#root = root;
  }

  async run(filter: WalkFilter): Promise<void> {
    const listening = this.#listen();
    await this.#tell(filter);
    await this.#flush();
    while (!this.#finished) {
      const ids = this.#requests;
      this.#requests = [];
      for (const id of ids) await this.#send(id);
      await this.#flush();
      if (this.#requests.length === 0 && !this.#finished) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
    await listening;
    if (this.#failed !== undefined) throw this.#failed;
    this.#writer.write({ type: PACKET.finish });
    await this.#flush();
  }

  /** Takes requests until the daemon has finished. */
  async #listen(): Promise<void> {
    try {
      for await (const messages of this.#call.messages()) {
        for (const message of messages) {
          const packet = readPacket(message);
          if (packet.type === PACKET.request) this.#requests.push(packet.id);
          else if (packet.type === PACKET.finish) this.#finished = true;
          else if (packet.type === PACKET.error) {
            throw new GantryError("internal", `error from receiver: ${packet.data.toString()}`);
          }
        }
        this.#wake?.();
        if (this.#finished) return;
      }
      throw new GantryError("cancelled", "the daemon gave the folder up");
    } catch (error) {
      this.#failed = error;
      this.#finished = true;
      this.#wake?.();
    }
  }

  async #tell(filter: WalkFilter): Promise<void> {
    for await (const batch of walkFolder(this.#root, filter)) {
      for (const entry of batch) {
        this.#files.push(isPlain(entry) ? { path: entry.path, size: entry.size } : undefined);
        this.#writer.write({ type: PACKET.stat, stat: entry });
        if (this.#writer.length > FLUSH_BYTES) await this.#flush();
      }
      await this.#flush();
      if (this.#finished) return;
      for (let id = this.#requests.shift(); id !== undefined; id = this.#requests.shift()) {
        await this.#send(id);
      }
    }
    this.#writer.write({ type: PACKET.stat });
  }

  async #send(id: number): Promise<void> {
    const file = this.#files[id];
    if (file === undefined) throw new GantryError("invalid", `invalid file id ${id}`);
    const path = `${this.#root}/${file.path}`;
    if (file.size <= SMALL_BYTES) {
      const bytes = this.#readSmall(path);
      if (bytes !== undefined) {
        if (bytes.length > 0) this.#writer.write({ type: PACKET.data, id, data: bytes });
        this.#writer.write({ type: PACKET.data, id });
        if (this.#writer.length > FLUSH_BYTES) await this.#flush();
        if (performance.now() - this.#since > SLICE_MS_MAX) {
          await new Promise((resolve) => setImmediate(resolve));
          this.#since = performance.now();
        }
        return;
      }
    }
    await this.#sendLarge(id, path);
    this.#since = performance.now();
  }

  /** Undefined when it has grown. */
  #readSmall(path: string): Buffer | undefined {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      throw fileError("open", path, error);
    }
    try {
      let length = 0;
      for (;;) {
        const count = readSync(fd, this.#small, length, this.#small.length - length, null);
        if (count === 0) return this.#small.subarray(0, length);
        length += count;
        if (length === this.#small.length) return undefined;
      }
    } catch (error) {
      throw fileError("read", path, error);
    } finally {
      closeSync(fd);
    }
  }

  async #sendLarge(id: number, path: string): Promise<void> {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = await open(path, flags).catch((error) => {
      throw fileError("open", path, error);
    });
    try {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      for (;;) {
        const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, null);
        this.#writer.write({ type: PACKET.data, id, data: piece.subarray(0, bytesRead) });
        await this.#flush();
        if (bytesRead === 0) return;
      }
    } finally {
      await file.close();
    }
  }

  async #flush(): Promise<void> {
    if (this.#writer.length === 0) return;
    await this.#call.sendFrames(this.#writer.take());
  }
}

function isPlain({ mode, linkname }: FileStat): boolean {
  return linkname === "" && (mode & constants.S_IFMT) === constants.S_IFREG;
}
