// Packs a file or a tree of the caller as a tar archive, under the name that it is to get.

import { createReadStream, type Stats } from "node:fs";
import { lstat, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Pack } from "tar-stream";

interface PackOptions {
  /** Follows a symbolic link at the top. */
  followLink: boolean;
  counted: { bytes: number };
}

/** The archive's bytes; `name` replaces the top's own name ("." for its content). */
export async function* packPath(
  path: string,
  name: string,
  { followLink, counted }: PackOptions,
): AsyncGenerator<Uint8Array> {
  const { pack } = await import("tar-stream");
  const archive = pack();
  const filling = (async () => {
    const top = followLink ? await stat(path) : await lstat(path);
    await add(archive, path, name, top, counted);
    archive.finalize();
  })();
  filling.catch((error: Error) => archive.destroy(error));
  yield* archive as unknown as AsyncIterable<Uint8Array>;
  await filling;
}

async function add(
  archive: Pack,
  path: string,
  name: string,
  info: Stats,
  counted: { bytes: number },
): Promise<void> {
  const header = {
    name: info.isDirectory() ? `${name}/` : name,
    mode: info.mode & 0o7777,
    mtime: info.mtime,
    uid: info.uid,
    gid: info.gid,
  };
  if (info.isDirectory()) {
    archive.entry({ ...header, type: "directory" });
    for (const child of (await readdir(path)).sort()) {
      const at = join(path, child);
      await add(archive, at, `${name}/${child}`, await lstat(at), counted);
    }
  } else if (info.isSymbolicLink()) {
    archive.entry({ ...header, type: "symlink", linkname: await readlink(path) });
  } else if (info.isFile()) {
    counted.bytes += info.size;
    const entry = archive.entry({ ...header, type: "file", size: info.size });
    if (info.size === 0) entry.end(Buffer.alloc(0));
    else {
      // A file that grows meanwhile is cut at the size that was announced.
      await pipeline(createReadStream(path, { end: info.size - 1 }), entry);
    }
  } else if (info.isFIFO()) archive.entry({ ...header, type: "fifo" });
}
