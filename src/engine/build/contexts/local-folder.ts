// A folder of this machine as a client would send it, for programs that embed the engine and for
// tests: everything belongs to root, an ignore file's patterns leave out, followed paths bring what
// their links lead to. Attributes are not read: Node has no call for them.

import { type BigIntStats, constants } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { GantryError } from "../../../base/index.ts";
import { IgnoreMatcher, readIgnoreFile } from "../../../build/index.ts";
import type { ClientFile, ClientFolder, FolderRequest } from "../session.ts";
import { nameMatcher } from "./match-paths.ts";
import { compareNames, decodeName, encodeName } from "./names.ts";

const STATS_MAX = 64;
const READ_BYTES = 256 * 1024;
const LINKS_MAX = 255;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

type Wish = Pick<FolderRequest, "include" | "exclude" | "followPaths">;

export async function openLocalFolder(root: string, wish: Wish): Promise<ClientFolder> {
  const follow = wish.followPaths.length > 0 ? await followed(root, wish.followPaths) : [];
  const include = [...wish.include, ...follow];
  return new LocalFolder(root, { include, exclude: wish.exclude });
}

class LocalFolder implements ClientFolder {
  readonly entries: AsyncIterable<ClientFile>;
  readonly #root: string;
  readonly #include: readonly string[];
  readonly #ignore: IgnoreMatcher;
  readonly #wanted: IgnoreMatcher | undefined;
  readonly #paths: string[] = [];
  readonly #inodes = new Map<string, string>();

  constructor(root: string, { include, exclude }: Pick<Wish, "include" | "exclude">) {
    this.#root = root;
    this.#include = include;
    this.#ignore = matcher(exclude);
    // Patterns of files to take are those of an ignore file whose verdict is turned round.
    this.#wanted = include.length > 0 ? matcher(include) : undefined;
    this.entries = this.#walk("");
  }

  async *#walk(folder: string): AsyncGenerator<ClientFile> {
    const names = (await readdir(this.#at(folder), { encoding: "buffer" })).map(decodeName);
    names.sort(compareNames);
    for (let at = 0; at < names.length; at += STATS_MAX) {
      const paths = names
        .slice(at, at + STATS_MAX)
        .map((name) => (folder === "" ? name : `${folder}/${name}`))
        .filter((path) => this.#mayTake(path));
      const stats = await Promise.all(paths.map((path) => this.#stat(path)));
      for (const [index, path] of paths.entries()) {
        const info = stats[index];
        if (info !== undefined) yield* this.#entry(path, info);
      }
    }
  }

  async *#entry(path: string, info: BigIntStats): AsyncGenerator<ClientFile> {
    const isFolder = info.isDirectory();
    if (info.isSocket()) return;
    const ignored = this.#ignore.ignores(path);
    const taken = !ignored && (this.#wanted?.ignores(path) ?? true);
    if (!isFolder) {
      if (taken) yield await this.#file(path, info);
      return;
    }
    // A folder comes when it is meant, or with the first thing in it.
    if (ignored && !this.#ignore.hasExceptions) return;
    const own = await this.#file(path, info, false);
    let said = false;
    const say = () => {
      said = true;
      this.#paths.push(path);
      return own;
    };
    if (taken) yield say();
    for await (const entry of this.#walk(path)) {
      if (!said) {
        // Its number is the one before: what is in it was counted first.
        const inside = this.#paths.pop()!;
        yield say();
        this.#paths.push(inside);
      }
      yield entry;
    }
  }

  /** Whether a path or something beneath it may be among what is included. */
  #mayTake(path: string): boolean {
    if (this.#include.length === 0) return true;
    const parts = path.split("/");
    return this.#include.some((pattern) => {
      const wanted = pattern.split("/");
      return parts.every((part, at) => {
        const want = wanted[at];
        if (want === undefined || wanted.slice(0, at + 1).includes("**")) return true;
        return want === part || nameMatcher(want)(part);
      });
    });
  }

  async #stat(path: string): Promise<BigIntStats | undefined> {
    return await lstat(this.#at(path), { bigint: true }).catch((error) => {
      if (error.code === "ENOENT") return undefined; // it went meanwhile
      throw error;
    });
  }

  async #file(path: string, info: BigIntStats, counts = true): Promise<ClientFile> {
    if (counts) this.#paths.push(path);
    const isLink = info.isSymbolicLink();
    let linkname = isLink ? decodeName(await readlink(this.#at(path), "buffer")) : "";
    if (info.isFile() && info.nlink > 1n) {
      const inode = `${info.dev}:${info.ino}`;
      linkname = this.#inodes.get(inode) ?? "";
      if (linkname === "") this.#inodes.set(inode, path);
    }
    const isDevice = info.isCharacterDevice() || info.isBlockDevice();
    return {
      ...{ path, mode: Number(info.mode), uid: 0, gid: 0, modifiedNs: info.mtimeNs, linkname },
      size: info.isFile() && linkname === "" ? Number(info.size) : 0,
      devMajor: isDevice ? Number((info.rdev >> 8n) & 0xfffn) : 0,
      devMinor: isDevice ? Number((info.rdev & 0xffn) | ((info.rdev >> 12n) & 0xfff00n)) : 0,
      xattrs: new Map(),
    };
  }

  async *content(index: number): AsyncGenerator<Uint8Array> {
    const path = this.#paths[index];
    if (path === undefined) throw new GantryError("invalid", `no file has the number ${index}`);
    const file = await open(this.#at(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const info = await file.stat();
      if (!info.isFile()) return;
      // One more than there is, so that a second read is only for what grows meanwhile.
      const size = Math.min(READ_BYTES, info.size + 1);
      for (;;) {
        const buffer = Buffer.allocUnsafe(size);
        const { bytesRead } = await file.read(buffer, 0, size);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
        if (bytesRead < size && bytesRead === info.size) return;
      }
    } finally {
      await file.close();
    }
  }

  #at(path: string): Buffer {
    return encodeName(path === "" ? this.#root : `${this.#root}/${path}`);
  }

  async finish(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

function matcher(patterns: readonly string[]): IgnoreMatcher {
  return new IgnoreMatcher(readIgnoreFile(patterns.join("\n")));
}

/** The paths with what their links lead to, inside the root; patterns become what they match. */
async function followed(root: string, paths: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const path of paths) await follow(root, path.split("/"), "", found, { links: 0 });
  return [...found];
}

async function follow(
  root: string,
  parts: readonly string[],
  at: string,
  found: Set<string>,
  count: { links: number },
): Promise<void> {
  const [part, ...rest] = parts;
  if (part === undefined) return void found.add(at === "" ? "**" : at);
  if (part === "" || part === ".") return await follow(root, rest, at, found, count);
  if (part === "..") {
    return await follow(root, rest, at.split("/").slice(0, -1).join("/"), found, count);
  }
  if (part === "**") return void found.add(at === "" ? "**" : at);
  const isPattern = /[*?[\\]/.test(part);
  const names = isPattern ? await readdir(`${root}/${at}`).catch(() => []) : [part];
  const fits = isPattern ? nameMatcher(part) : () => true;
  for (const name of names) {
    if (!fits(name)) continue;
    const path = at === "" ? name : `${at}/${name}`;
    const link = await readlink(`${root}/${path}`).catch(() => undefined);
    if (link === undefined) await follow(root, rest, path, found, count);
    else {
      found.add(path);
      if (++count.links > LINKS_MAX) return;
      const from = link.startsWith("/") ? "" : at;
      await follow(root, [...link.split("/"), ...rest], from, found, count);
    }
  }
}
