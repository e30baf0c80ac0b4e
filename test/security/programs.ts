// The static programs of these tests, compiled once for what their sources say, and the image that
// carries them: the payload with the probe and the attacks beside it.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { payloadRootfs } from "../payload/payload.ts";

const run = promisify(execFile);
const folder = fileURLToPath(new URL("programs", import.meta.url));
const cache = fileURLToPath(new URL("../../.gantry-cache", import.meta.url));
const SOURCES = {
  probe: ["probe.c", "probe-calls.c", "probe-files.c", "probe.h"],
  attack: ["attack.c", "attack-files.c", "attack-races.c", "attack.h"],
};
export type Program = keyof typeof SOURCES;

/** The path of the compiled program; it runs on the host too. */
export async function compiled(name: Program): Promise<string> {
  const sources = SOURCES[name].map((file) => join(folder, file));
  const hash = createHash("sha256");
  for (const source of sources) hash.update(await readFile(source));
  const path = join(cache, `${name}-${hash.digest("hex").slice(0, 16)}`);
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) return path;
  await mkdir(cache, { recursive: true });
  const temporary = `${path}.${process.pid}`;
  const programs = sources.filter((source) => source.endsWith(".c"));
  const flags = ["-O2", "-static", "-Wall", "-Wextra", "-Werror"];
  await run("gcc", [...flags, "-o", temporary, ...programs]);
  await rename(temporary, path);
  return path;
}

/** The payload's root file system with these programs in /bin. */
export async function rootfsWith(...programs: Program[]): Promise<Buffer> {
  return await payloadRootfs(
    await Promise.all(
      programs.map(async (name) => {
        const content = await readFile(await compiled(name));
        return { type: "file" as const, name: `bin/${name}`, mode: 0o755, content };
      }),
    ),
  );
}
