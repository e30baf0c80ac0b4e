// Unpacks an archive of a container into a folder of the caller. The archive's maker may be
// hostile: a name may not leave the folder, and nothing is written through a symbolic link that
// lies inside of it. Owners stay the caller's, as with docker.

import { createWriteStream, type WriteStream } from "node:fs";
import { chmod, link, lstat, lutimes, mkdir, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errnoOf, GantryError } from "../../base/index.ts";

interface Header {
  name: string;
  type?: string | null;
  mode?: number;
  mtime?: Date;
  linkname?: string | null;
  size?: number;
}

/** Unpacks into `folder`; `rename` changes the first component of every name. Returns bytes. */
export async function extractTar(
  source: AsyncIterable<Buffer>,
  folder: string,
  rename?: { from: string; to: string },
): Promise<number> {
  const { extract } = await import("tar-stream");
  const unpack = extract();
  const folders: [path: string, header: Header][] = [];
  let bytes = 0;
  const feeding = pipeline(Readable.from(source), unpack);
  feeding.catch(() => {});
  for await (const entry of unpack) {
    const header = entry.header as Header;
    bytes += header.size ?? 0;
    const path = inside(folder, renamed(header.name, rename));
    if (path === folder) {
      entry.resume(); // the folder that is copied into stays as it is
      continue;
    }
    await checkParents(folder, path);
    if (header.type === "directory") {
      await makeFolder(path);
      folders.push([path, header]);
      entry.resume();
      continue;
    }
    let target: string | undefined;
    if (header.type === "link") {
      target = inside(folder, renamed(header.linkname ?? "", rename));
      await checkParents(folder, target);
    }
    await writeEntry(path, header, entry as unknown as Readable, target);
  }
  await feeding;
  // Last, because writing into a folder changes its time, and its mode may forbid writing.
  for (const [path, header] of folders.reverse()) {
    await chmod(path, (header.mode ?? 0o755) & 0o7777);
    if (header.mtime) await lutimes(path, header.mtime, header.mtime);
  }
  return bytes;
}

function renamed(name: string, rename?: { from: string; to: string }): string {
  const clean = name.replace(/^\/+/, "");
  if (!rename) return clean;
  if (clean === rename.from || clean.startsWith(`${rename.from}/`)) {
    return rename.to + clean.slice(rename.from.length);
  }
  return clean;
}

function inside(folder: string, name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) {
    throw new GantryError("invalid", `invalid archive: ${JSON.stringify(name)} leaves the folder`);
  }
  return join(folder, ...parts);
}

async function checkParents(folder: string, path: string): Promise<void> {
  for (let at = dirname(path); at.length > folder.length; at = dirname(at)) {
    const stat = await lstat(at).catch(() => undefined);
    if (stat?.isSymbolicLink()) {
      throw new GantryError("invalid", `invalid archive: ${path} leads through a symbolic link`);
    }
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    const stat = await lstat(path);
    if (!stat.isDirectory()) {
      throw new GantryError(
        "conflict",
        `cannot overwrite non-directory ${JSON.stringify(path)} with directory`,
      );
    }
  }
}

async function writeEntry(
  path: string,
  header: Header,
  entry: Readable,
  linkTarget: string | undefined,
): Promise<void> {
  const before = await lstat(path).catch(() => undefined);
  if (before?.isDirectory()) {
    throw new GantryError(
      "conflict",
      `cannot overwrite directory ${JSON.stringify(path)} with non-directory`,
    );
  }
  if (before) await rm(path);
  const mode = (header.mode ?? 0o644) & 0o7777;
  if (header.type === "symlink") {
    await symlink(header.linkname ?? "", path);
    entry.resume();
  } else if (linkTarget !== undefined) {
    await link(linkTarget, path);
    entry.resume();
    return;
  } else if (header.type === "file" || header.type === "contiguous-file") {
    const file: WriteStream = createWriteStream(path, { flags: "wx", mode: 0o600 });
    await pipeline(entry, file);
    await chmod(path, mode);
  } else {
    // Devices and fifos cannot be copied out without privileges; docker's client skips none, but
    // a file system that holds them is not what anybody copies to.
    entry.resume();
    return;
  }
  if (header.mtime) await lutimes(path, header.mtime, header.mtime);
}
