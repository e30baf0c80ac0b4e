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
import { type FileStat, GO_MODE, PACKET, PacketWriter, readPacket } from "./fsutil-packet.ts";
import type { ServedCall } from "./grpc-server.ts";
import { byBytes } from "./walk.ts";

/** Files that are asked for at once; each is an open file here. */
const REQUESTS_MAX = 64;

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
  readonly #folders = new Map<string, FileStat | undefined>([["", undefined]]);
  readonly #plain = new Set<string>();
  readonly #hardLinks: FileStat[] = [];
  readonly #incoming = new Map<number, Incoming>();
  readonly #waiting: number[] = [];
  #asked = 0;
  #count = 0;
  #last: string | undefined;
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
    const path = this.#checked(stat.path);
    const target = join(this.#root, path);
    if (stat.mode >= GO_MODE.directory) {
      const there = await lstat(target).catch(() => undefined);
      if (there && !there.isDirectory()) await rm(target);
      if (!there?.isDirectory()) await mkdir(target, { mode: 0o700 });
      this.#folders.set(path, stat);
    } else if ((stat.mode & GO_MODE.symlink) !== 0) {
      await this.#clear(target);
      await symlink(stat.linkname, target);
      await setTime(target, stat);
    } else if ((stat.mode & (GO_MODE.device | GO_MODE.pipe | GO_MODE.socket)) !== 0) {
      throw new GantryError(
        "not-implemented",
        `${path} is a device, a pipe or a socket, which a folder cannot take: use --output type=tar`,
      );
    } else if (stat.linkname !== "") {
      this.#hardLinks.push({ ...stat, path, linkname: relative(stat.linkname) });
    } else {
      this.#plain.add(path);
      this.#incoming.set(id, { stat: { ...stat, path } });
      this.#waiting.push(id);
    }
  }

  /** The path, once it is clear that it leads nowhere but inside. */
  #checked(text: string): string {
    const path = relative(text);
    if (this.#last !== undefined && compare(this.#last, path) >= 0) {
      throw new GantryError("invalid", `file ${JSON.stringify(text)} came out of order`);
    }
    this.#last = path;
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
    if (!this.#folders.has(parent)) {
      throw new GantryError("invalid", `file ${JSON.stringify(text)} came before its folder`);
    }
    return path;
  }

  async #clear(target: string): Promise<void> {
    await rm(target, { recursive: true, force: true });
  }

  async #ask(): Promise<void> {
    while (this.#asked < REQUESTS_MAX) {
      const id = this.#waiting.shift();
      if (id === undefined) break;
      this.#asked++;
      this.#writer.request(id);
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
    await file.handle.chmod(permissions(file.stat));
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
      if (stat === undefined) continue;
      await chmod(join(this.#root, path), permissions(stat));
      await setTime(join(this.#root, path), stat);
    }
    this.#writer.finish();
    await this.#call.sendFrames(this.#writer.take());
  }
}

/** The order of a walk: by components. */
function compare(a: string, b: string): number {
  const left = a.split("/");
  const right = b.split("/");
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const order = byBytes(left[at]!, right[at]!);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function relative(text: string): string {
  const path = text.replace(/^\/+/, "").replace(/\/+$/, "");
  const parts = path.split("/");
  if (
    path === "" ||
    path.includes("\0") ||
    parts.some((one) => one === "" || /^\.\.?$/.test(one))
  ) {
    throw new GantryError("invalid", `the daemon sent a file named ${JSON.stringify(text)}`);
  }
  return path;
}

function permissions({ mode }: FileStat): number {
  let out = mode & GO_MODE.permissions;
  if ((mode & GO_MODE.setuid) !== 0) out |= 0o4000;
  if ((mode & GO_MODE.setgid) !== 0) out |= 0o2000;
  if ((mode & GO_MODE.sticky) !== 0) out |= 0o1000;
  return out;
}

async function setTime(path: string, { modifiedNs }: FileStat): Promise<void> {
  const seconds = Number(modifiedNs) / 1e9;
  await lutimes(path, seconds, seconds);
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
  }
}
