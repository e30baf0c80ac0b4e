// A server of ours as one JavaScript file, native/build/<program>-<id>.mjs, made again whenever a
// source has changed: it starts sooner than the sources and does without the type stripper. One
// file, because a program that runs may load a part of itself long after a newer one was built and
// the old one removed. Without esbuild (an installation that left it out) it runs from its sources.

import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { programRoot } from "../src/base/index.ts";

export type Program = "daemon" | "registry";

const root = programRoot();
const output = join(root, "native/build");
const LOADING_MS = 60_000;
const CLIENT_FOLDERS = /^(cli|client|compose)\//; // no part of a server

function buildId(): string {
  const hash = createHash("sha256").update(root);
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .filter((file) => !CLIENT_FOLDERS.test(file))
    .sort();
  for (const file of [...files.map((each) => join("src", each)), "package-lock.json"]) {
    const { mtimeMs, size } = statSync(join(root, file));
    hash.update(`${file}\0${mtimeMs}\0${size}\0`);
  }
  return hash.digest("hex").slice(0, 16);
}

/** The path of the up-to-date entry, or undefined where none can be made. */
export async function bundleProgram(program: Program): Promise<string | undefined> {
  const name = `${program}-${buildId()}.mjs`;
  const entry = join(output, name);
  if (isThere(entry)) return entry;
  const esbuild = await import("esbuild").catch(() => undefined);
  if (!esbuild) return undefined;
  const temporary = join(output, `${name}.${randomBytes(4).toString("hex")}`);
  try {
    mkdirSync(output, { recursive: true });
    await esbuild.build({
      entryPoints: [join(root, `src/${program}/entry.ts`)],
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node26",
      outfile: temporary,
      // Some packages are CommonJS and ask for node's modules by require.
      banner: {
        js: 'import { createRequire as __requireOf } from "node:module"; const require = __requireOf(import.meta.url);',
      },
      logLevel: "silent",
    });
    renameSync(temporary, entry);
  } catch {
    rmSync(temporary, { force: true });
    return undefined; // a read-only installation, or sources in the middle of an edit
  } finally {
    // Its process would stay where the bundle is run by this one (bin/gantry.ts).
    await esbuild.stop();
  }
  removeOld(program, name);
  return entry;
}

/** Marks it as taken: who is about to load it finds it, whatever is built meanwhile. */
function isThere(entry: string): boolean {
  const now = Date.now() / 1000;
  try {
    utimesSync(entry, now, now);
  } catch {
    return existsSync(entry); // a read-only installation
  }
  return true;
}

/** Programs that run have loaded theirs: all but the latest may go, and those just taken. */
function removeOld(program: Program, latest: string): void {
  const old = new RegExp(`^${program}-[0-9a-f]{16}(\\.mjs)?$`);
  for (const file of readdirSync(output)) {
    if (!old.test(file) || file === latest) continue;
    const path = join(output, file);
    const takenMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - takenMs > LOADING_MS) rmSync(path, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [program] = process.argv.slice(2);
  if (program !== "daemon" && program !== "registry") throw new Error("Say daemon or registry");
  process.stdout.write(`${(await bundleProgram(program)) ?? "no esbuild"}\n`);
}
