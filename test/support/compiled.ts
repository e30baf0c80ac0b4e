// Compiles a static C program of the tests once for what its sources say, and keeps it beneath the
// work tree. A rename puts it in place, so that test files that run side by side may all ask.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = fileURLToPath(new URL("../../.gantry-cache", import.meta.url));

/** The program's path; a header among the sources counts for the content only. */
export async function compiled(
  name: string,
  sources: readonly string[],
  { arch = process.arch, gcc = "gcc" }: { arch?: string; gcc?: string } = {},
): Promise<string> {
  const hash = createHash("sha256").update(arch);
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
  await run(gcc, [...flags, "-o", temporary, ...programs]);
  await rename(temporary, path);
  return path;
}
