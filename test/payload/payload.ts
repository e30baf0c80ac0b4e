// Compiles the payload once per content and packs it as the root file system that the tests import:
// a static program with a hard link for each verb, two users and a folder to seed volumes with.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import tar from "tar-stream";
import { compiled } from "../support/compiled.ts";

const run = promisify(execFile);
const sources = [
  "payload.c",
  "payload-kernel.c",
  "payload-network.c",
  "payload-runtime.c",
  "payload.h",
].map((name) => fileURLToPath(new URL(name, import.meta.url)));

/** The path of the compiled payload; `payload VERB …` runs on the host too. */
export function payloadProgram(machine: { arch?: string; gcc?: string } = {}): Promise<string> {
  return compiled("payload", sources, machine);
}

type Entry = { name: string; mode?: number; uid?: number; gid?: number } & (
  | { type: "directory" }
  | { type: "file"; content: string | Buffer }
  | { type: "link" | "symlink"; linkname: string }
);

/** The root file system as an uncompressed tar; the same bytes for the same payload. */
export async function payloadRootfs(extra: Entry[] = []): Promise<Buffer> {
  const program = await payloadProgram();
  const { stdout } = await run(program, []);
  const verbs = stdout.trim().split("\n");
  const user = "app:x:1000:1000:app:/home/app:/bin/payload";
  return await pack([
    ...["bin", "etc", "proc", "sys", "dev", "home", "data"].map(folder),
    { type: "directory", name: "tmp", mode: 0o1777 },
    { type: "directory", name: "home/app", uid: 1000, gid: 1000 },
    { type: "file", name: "data/seed", content: "seed\n", uid: 1000, gid: 1000 },
    { type: "file", name: "etc/passwd", content: `root:x:0:0:root:/root:/bin/payload\n${user}\n` },
    { type: "file", name: "etc/group", content: "root:x:0:\napp:x:1000:\nextra:x:2000:app\n" },
    { type: "file", name: "bin/payload", mode: 0o755, content: await readFile(program) },
    ...verbs.map((verb): Entry => ({ type: "link", name: `bin/${verb}`, linkname: "bin/payload" })),
    ...extra,
  ]);
}

function folder(name: string): Entry {
  return { type: "directory", name };
}

export async function pack(entries: Entry[]): Promise<Buffer> {
  const stream = tar.pack();
  for (const entry of entries) {
    const mode = entry.mode ?? (entry.type === "file" ? 0o644 : 0o755);
    const { name, uid = 0, gid = 0 } = entry;
    const header = { name, uid, gid, mode, mtime: new Date(0), type: entry.type };
    if (entry.type === "file") stream.entry({ ...header, type: "file" }, entry.content);
    else if (entry.type === "directory") stream.entry(header);
    else stream.entry({ ...header, linkname: entry.linkname });
  }
  stream.finalize();
  return await buffer(stream as unknown as Readable);
}
