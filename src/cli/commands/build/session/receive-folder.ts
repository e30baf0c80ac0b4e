// Takes a folder that the daemon sends (--output type=local), as fsutil's receiver. The daemon is
// not trusted with the caller's files: every name stays inside the destination, no link that came
// is ever walked through, and files belong to the caller whatever the image says.

import { constants } from "node:fs";
import {
  chmod,
  type FileHandle,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { GantryError } from "../../../../base/index.ts";
import {
  type FileStat,
  PACKET,
  PacketWriter,
  PathOrder,
  readPacket,
} from "../../../../wire/index.ts";
import type { ServedCall } from "./grpc-server.ts";

/** Files that are asked for at once; each is an open file here. */
const REQUESTS_MAX = 64;
const PERMISSIONS = 0o7777;

interface Incoming {
  stat: FileStat;
  handle?: FileHandle;
  temporary?: string;
}

/** Serves one call of FileSend.DiffCopy with a folder as its target. */
export async function receiveFolder(call: ServedCall, destination: string): Promise<void> {
  await mkdir(destination, { recursive: true });
  const receiver = new FolderReceiver(call, destination);
  try {
    await receiver.run();
  } catch (error) {
    await receiver.abandon();
    throw error;
  }
}

class FolderReceiver {
  readonly #call: ServedCall;
  readonly #root: string;
  readonly #writer = new PacketWriter();
  readonly #order = new PathOrder();
  readonly #folders = new Map<string, FileStat>();
  readonly #plain = new Set<string>();
  readonly #hardLinks: FileStat[] = [];
  readonly #incoming = new Map<number, Incoming>();
  readonly #waiting: number[] = [];
  #asked = 0;
  #count = 0;
  #told = false;

  constructor(call: ServedCall, root: string) {
    this.#call = call;
    this.#root = root;
  }

  async run(): Promise<void> {
    for await (const messages of this.#call.messages()) {
      for (const message of messages) {
        const packet = readPacket(message);
        switch (packet.type) {
          case PACKET.stat:
            if (packet.stat === undefined || packet.stat.path === "") this.#told = true;
            else await this.#entry(packet.stat);
            break;
          case PACKET.data:
            await this.#data(packet.id, packet.data);
            break;
          case PACKET.error:
            throw new GantryError("internal", `error from sender: ${packet.data.toString()}`);
          case PACKET.finish:
            return;
          default:
            throw new GantryError("invalid", `unexpected packet of type ${packet.type}`);
        }
      }
      await this.#ask();
      if (this.#told && this.#incoming.size === 0) await this.#finish();
    }
    throw new GantryError("cancelled", "the daemon gave the folder up");
  }

  /** Removes what is half there. */
  async abandon(): Promise<void> {
    for (const { handle, temporary } of this.#incoming.values()) {
      await handle?.close().catch(() => {});
      if (temporary) await rm(temporary, { force: true });
    }
  }

  async #entry(stat: FileStat): Promise<void> {
    const id = this.#count++;
    const path = trimmed(stat.path);
    this.#order.check({ path, mode: stat.mode });
    const target = join(this.#root, path);
    const kind = stat.mode & constants.S_IFMT;
    if (kind === constants.S_IFDIR) {
      const there = await lstat(target).catch(() => undefined);
      if (there && !there.isDirectory()) await rm(target);
      if (!there?.isDirectory()) await mkdir(target, { mode: 0o700 });
      this.#folders.set(path, stat);
    } else if (kind === constants.S_IFLNK) {
      await this.#clear(target);
      await symlink(stat.linkname, target);
      await setTime(target, stat);
    } else if (kind !== constants.S_IFREG) {
      throw new GantryError(
        "not-implemented",
        `${path} is a device, a pipe or a socket, which a folder cannot take: use --output type=tar`,
      );
    } else if (stat.linkname !== "") {
      this.#hardLinks.push({ ...stat, path, linkname: trimmed(stat.linkname) });
    } else {
      this.#plain.add(path);
      this.#incoming.set(id, { stat: { ...stat, path } });
      this.#waiting.push(id);
    }
  }

  async #clear(target: string): Promise<void> {
    await rm(target, { recursive: true, force: true });
  }

  async #ask(): Promise<void> {
    while (this.#asked < REQUESTS_MAX) {
      const id = this.#waiting.shift();
      if (id === undefined) break;
      this.#asked++;
      this.#writer.write({ type: PACKET.request, id });
    }
    if (this.#writer.length > 0) await this.#call.sendFrames(this.#writer.take());
  }

  async #data(id: number, bytes: Buffer): Promise<void> {
    const file = this.#incoming.get(id);
    if (file === undefined) throw new GantryError("invalid", `contents of no file came: ${id}`);
    const target = join(this.#root, file.stat.path);
    if (file.handle === undefined) {
      file.temporary = join(dirname(target), `.gantry-${process.pid}-${id}.tmp`);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
      file.handle = await open(file.temporary, flags | constants.O_NOFOLLOW, 0o600);
    }
    if (bytes.length > 0) {
      await writeWhole(file.handle, bytes);
      return;
    }
    await file.handle.chmod(file.stat.mode & PERMISSIONS);
    await file.handle.close();
    await setTime(file.temporary!, file.stat);
    const there = await lstat(target).catch(() => undefined);
    if (there?.isDirectory()) await this.#clear(target);
    await rename(file.temporary!, target);
    this.#incoming.delete(id);
    this.#asked--;
  }

  /** Links, then folders from the inside out, whose times and modes the rest has disturbed. */
  async #finish(): Promise<void> {
    for (const { path, linkname } of this.#hardLinks) {
      if (!this.#plain.has(linkname)) {
        throw new GantryError("invalid", `${path} is a link to a file that did not come`);
      }
      await this.#clear(join(this.#root, path));
      await link(join(this.#root, linkname), join(this.#root, path));
    }
    for (const [path, stat] of [...this.#folders].reverse()) {
      await chmod(join(this.#root, path), stat.mode & PERMISSIONS);
      await setTime(join(this.#root, path), stat);
    }
    this.#writer.write({ type: PACKET.finish });
    await this.#call.sendFrames(this.#writer.take());
  }
}

/** Others write paths from the root. */
const trimmed = (path: string): string => path.replace(/^\/+/, "").replace(/\/+$/, "");

async function setTime(path: string, { modifiedNs }: FileStat): Promise<void> {
  const seconds = Number(modifiedNs) / 1e9;
  await lutimes(path, seconds, seconds);
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
  }
}
