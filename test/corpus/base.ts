// The image that the corpus builds on: the payload with a recorder in the place of a shell, and the
// folder that it writes to. And the context of a case, as a tar or as a folder.

import { chmod, lutimes, mkdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Pack, pack } from "tar-stream";
import { payloadRootfs } from "../payload/payload.ts";
import { type Case, type ContextFile, FILE_TIME } from "./case.ts";

export const BASE = "base";
export const BASE_CHANGES = ['CMD ["/bin/true"]', "ENV PATH=/bin"];
/** Lines of history that the base itself has. */
export const BASE_HISTORY = 1;

export async function baseRootfs(): Promise<Buffer> {
  return await payloadRootfs([
    { type: "link", name: "bin/sh", linkname: "bin/payload" },
    { type: "directory", name: "log", mode: 0o1777 },
    { type: "directory", name: "full", mode: 0o755 },
    { type: "file", name: "full/one", content: "1" },
    { type: "file", name: "full/sub/two", content: "2" },
    { type: "symlink", name: "tofull", linkname: "/full" },
    { type: "symlink", name: "dangling", linkname: "/made/later" },
  ]);
}

/** The files of a case with its Dockerfile among them. */
export function contextFiles({ files = {}, dockerfile }: Case): Record<string, ContextFile> {
  return { ...files, Dockerfile: dockerfile };
}

const whole = (file: ContextFile): Exclude<ContextFile, string | Buffer> =>
  typeof file === "string" || Buffer.isBuffer(file) ? { kind: "file", text: file } : file;

export function contextTar(files: Record<string, ContextFile>): Pack {
  const tar = pack();
  const folders = new Set<string>();
  const entry = { mtime: FILE_TIME, uid: 0, gid: 0 };
  const above = (name: string) => {
    const folder = dirname(name);
    if (folder === "." || folders.has(folder)) return;
    above(folder);
    folders.add(folder);
    tar.entry({ ...entry, name: folder, type: "directory", mode: 0o755 });
  };
  for (const [name, given] of Object.entries(files)) {
    const file = whole(given);
    above(name);
    if (file.kind === "folder") {
      folders.add(name);
      tar.entry({ ...entry, name, type: "directory", mode: file.mode ?? 0o755 });
    } else if (file.kind === "link") {
      tar.entry({ ...entry, name, type: "symlink", linkname: file.to, mode: 0o777 });
    } else tar.entry({ ...entry, name, mode: file.mode ?? 0o644 }, file.text);
  }
  tar.finalize();
  return tar;
}

export async function contextFolder(
  path: string,
  files: Record<string, ContextFile>,
): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true });
  for (const [name, given] of Object.entries(files)) {
    const file = whole(given);
    const at = join(path, name);
    await mkdir(dirname(at), { recursive: true });
    if (file.kind === "folder") {
      await mkdir(at, { recursive: true });
      await chmod(at, file.mode ?? 0o755);
    } else if (file.kind === "link") {
      await symlink(file.to, at);
      await lutimes(at, FILE_TIME, FILE_TIME);
    } else {
      await writeFile(at, file.text);
      await chmod(at, file.mode ?? 0o644);
      await utimes(at, FILE_TIME, FILE_TIME);
    }
  }
}
