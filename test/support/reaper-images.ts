// The images that the tests of testcontainers use: the payload with something to call as a shell,
// a web server, and the reaper. That is Ryuk itself where GANTRY_TEST_RYUK names its static program
// (CGO_ENABLED=0 go install github.com/testcontainers/moby-ryuk@v0.14.0), else a stand-in that
// speaks Ryuk's protocol.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type Docker from "dockerode";
import { pack, payloadRootfs } from "../payload/payload.ts";

const SOURCE = fileURLToPath(new URL("../payload/reaper.c", import.meta.url));
/** The name under which testcontainers looks for it, unless told otherwise. */
export const REAPER = "testcontainers/ryuk:0.14.0";
export const REAL_RYUK: string | undefined = process.env["GANTRY_TEST_RYUK"] || undefined;

export async function importReaperImages(docker: Docker): Promise<void> {
  const own = await compile();
  const shell = [
    { type: "link", name: "bin/sh", linkname: "bin/payload" },
    { type: "directory", name: "log", mode: 0o1777 },
  ] as const;
  await importRootfs(docker, "app:test", await payloadRootfs([...shell]), "/bin/true");
  await importRootfs(docker, "web:test", await oneProgram("web", own), "/bin/web");
  const ryuk = REAL_RYUK === undefined ? own : await readFile(REAL_RYUK);
  await importRootfs(docker, REAPER, await oneProgram("ryuk", ryuk), "/bin/ryuk");
}

async function compile(): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-reaper-"));
  try {
    const program = join(folder, "reaper");
    const flags = ["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation"];
    await promisify(execFile)("gcc", [...flags, "-o", program, SOURCE]);
    return await readFile(program);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function oneProgram(name: string, content: Buffer): Promise<Buffer> {
  const folders = ["bin", "etc", "proc", "sys", "dev", "var", "var/run", "tmp"];
  return await pack([
    ...folders.map((folder) => ({ type: "directory", name: folder }) as const),
    { type: "file", name: `bin/${name}`, mode: 0o755, content },
  ]);
}

async function importRootfs(docker: Docker, repo: string, rootfs: Buffer, command: string) {
  const options = { repo, changes: [`CMD ["${command}"]`, "ENV PATH=/bin"] };
  const stream = await docker.importImage(rootfs as never, options as never);
  await new Promise((resolve, reject) => {
    (stream as unknown as NodeJS.ReadableStream).on("end", resolve).on("error", reject).resume();
  });
}
