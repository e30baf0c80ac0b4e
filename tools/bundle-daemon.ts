// The daemon as one JavaScript file, native/build/daemon-<id>.mjs, made again whenever a source has
// changed. Without esbuild (an installation that left it out) the daemon runs from its sources.

import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { programRoot } from "../src/base/index.ts";

const root = programRoot();
const output = join(root, "native/build");
const CLIENT_FOLDERS = /^(cli|client|compose)\//; // no part of the daemon

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

/** The path of the up-to-date bundle, or undefined where none can be made. */
export async function bundleDaemon(): Promise<string | undefined> {
  const name = `daemon-${buildId()}.mjs`;
  const path = join(output, name);
  if (existsSync(path)) return path;
  const esbuild = await import("esbuild").catch(() => undefined);
  if (!esbuild) return undefined;
  try {
    const { outputFiles } = await esbuild.build({
      entryPoints: [join(root, "src/daemon/entry.ts")],
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node26",
      // tar-stream is CommonJS and asks for node's modules by require.
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
      write: false,
      logLevel: "silent",
    });
    mkdirSync(output, { recursive: true });
    const temporary = `${path}.${randomBytes(4).toString("hex")}`;
    writeFileSync(temporary, outputFiles[0]!.contents);
    renameSync(temporary, path);
  } catch {
    return undefined; // a read-only installation, or sources in the middle of an edit
  }
  for (const file of readdirSync(output)) {
    if (/^daemon-[0-9a-f]{16}\.mjs$/.test(file) && file !== name)
      rmSync(join(output, file), { force: true });
  }
  return path;
}

if (import.meta.main) process.stdout.write(`${(await bundleDaemon()) ?? "no esbuild"}\n`);
