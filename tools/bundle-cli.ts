// Writes what the launchers need to know of the client and of gantry-runtime:
// native/build/<name>.inputs, the files whose change makes it another build, and, where esbuild is
// installed, native/build/<name>-<id>.cjs, the whole program as one CommonJS file: it starts in
// half the time of the sources. The id is computed as native/warm.c does.

import {
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = realpathSync(fileURLToPath(new URL("..", import.meta.url)));
const output = join(root, "native/build");
interface Program {
  /** As native/launcher.c and native/runtime.c name it. */
  name: string;
  entry: string;
  folders: string[];
  files: string[];
}

const PROGRAMS: readonly Program[] = [
  {
    name: "cli",
    entry: "src/cli/entry.ts",
    folders: ["base", "spec", "build", "gen", "client", "distribution", "warm", "wire", "cli"],
    files: ["bin/gantry.ts", "bin/gantry-warm.ts", "native/launcher.c"],
  },
  {
    name: "runtime",
    entry: "src/oci/entry.ts",
    folders: ["base", "spec", "native", "runtime", "warm", "oci"],
    files: [
      "bin/gantry-runtime.ts",
      ...["runtime", "runtime-native", "runtime-lock", "runtime-notify"].map(
        (name) => `native/${name}.c`,
      ),
    ],
  },
];

function inputs({ folders, files }: Program): string[] {
  const sources = folders.flatMap((folder) =>
    readdirSync(join(root, "src", folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(ts|js)$/.test(file) && !/\.(test|d)\.ts$/.test(file))
      .map((file) => join("src", folder, file)),
  );
  return [...sources.sort(), ...files, "native/warm.c", "native/warm-relay.c", "package.json"];
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

function buildId(files: readonly string[]): string {
  let id = FNV_OFFSET;
  const mix = (data: Uint8Array) => {
    for (const byte of data) id = ((id ^ BigInt(byte)) * FNV_PRIME) & 0xffffffffffffffffn;
  };
  mix(Buffer.from(root));
  for (const file of files) {
    mix(Buffer.from(`${file}\0`));
    const { mtimeNs, size } = statSync(join(root, file), { bigint: true });
    const facts = Buffer.alloc(24);
    facts.writeBigInt64LE(mtimeNs / 1_000_000_000n, 0);
    facts.writeBigInt64LE(mtimeNs % 1_000_000_000n, 8);
    facts.writeBigInt64LE(size, 16);
    mix(facts);
  }
  return id.toString(16).padStart(16, "0");
}

function replace(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

/** Brings everything up to date. */
export async function bundleCli(): Promise<void> {
  for (const program of PROGRAMS) await bundle(program);
}

async function bundle(program: Program): Promise<void> {
  const files = inputs(program);
  const list = `${files.join("\n")}\n`;
  const listPath = join(output, `${program.name}.inputs`);
  let known = "";
  try {
    known = readFileSync(listPath, "utf8");
  } catch {
    // The first time.
  }
  if (known !== list) replace(listPath, list);
  const name = `${program.name}-${buildId(files)}.cjs`;
  const bundles = new RegExp(`^${program.name}-[0-9a-f]{16}\\.cjs$`);
  const old = readdirSync(output).filter((file) => bundles.test(file));
  if (old.includes(name)) return;
  const esbuild = await import("esbuild").catch(() => undefined);
  if (esbuild) {
    const { outputFiles } = await esbuild.build({
      entryPoints: [join(root, program.entry)],
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node26",
      define: { "import.meta.dirname": "__dirname" },
      write: false,
      logLevel: "silent",
    });
    replace(join(output, name), outputFiles[0]!.contents);
  }
  for (const file of old) rmSync(join(output, file), { force: true });
}

if (import.meta.main) await bundleCli();
