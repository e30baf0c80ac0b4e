// Writes what the launchers need to know of the client and of gantry-runtime:
// native/build/<name>.inputs, the files whose change makes it another build, and, where esbuild is
// installed, native/build/<name>-<id>.cjs, the whole program as one file, or what loads it as one
// script that is compiled already: it starts in a third to half of the time of the sources. The id
// is computed as native/warm.c does.

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
import { lateModules } from "./late-modules.ts";
import { loaderText, scriptText, writeCodeCache } from "./with-code-cache.ts";

const root = realpathSync(fileURLToPath(new URL("..", import.meta.url)));
const output = join(root, "native/build");
interface Program {
  /** As native/launcher.c and native/runtime.c name it. */
  name: string;
  entry: string;
  folders: string[];
  files: string[];
  /** Its entry rehearses its commands, so that they can be compiled beforehand. */
  rehearses: boolean;
}

const PROGRAMS: readonly Program[] = [
  {
    name: "cli",
    entry: "src/cli/entry.ts",
    rehearses: false,
    folders: ["base", "spec", "build", "gen", "client", "distribution", "warm", "wire", "cli"],
    files: ["bin/gantry.ts", "bin/gantry-warm.ts", "native/launcher.c"],
  },
  {
    name: "runtime",
    entry: "src/oci/entry.ts",
    rehearses: true,
    folders: ["base", "spec", "native", "runtime", "warm", "systemd", "oci"],
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
  const name = `${program.name}-${buildId(files)}`;
  const bundles = new RegExp(`^${program.name}-[0-9a-f]{16}\\.(cjs|js|code)$`);
  const old = readdirSync(output).filter((file) => bundles.test(file));
  if (old.includes(`${name}.cjs`)) return;
  const esbuild = await import("esbuild").catch(() => undefined);
  if (esbuild) {
    const { outputFiles } = await esbuild.build({
      entryPoints: [join(root, program.entry)],
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node26",
      define: { "import.meta.dirname": "__dirname" },
      minifyWhitespace: program.rehearses,
      minifySyntax: program.rehearses,
      plugins: [lateModules],
      write: false,
      logLevel: "silent",
    });
    const text = outputFiles[0]!.text;
    if (program.rehearses) {
      replace(join(output, `${name}.js`), scriptText(text));
      compile(name);
    } else replace(join(output, `${name}.cjs`), text);
  }
  for (const file of old) {
    if (!file.startsWith(name)) rmSync(join(output, file), { force: true });
  }
}

/** The loader comes last: where it is, all is there. */
function compile(name: string): void {
  const loader = join(output, `rehearsal-${process.pid}-${name}.cjs`);
  const code = join(output, `rehearsal-${process.pid}-${name}.code`);
  writeFileSync(loader, loaderText(name));
  try {
    writeCodeCache(loader, code);
    renameSync(code, join(output, `${name}.code`));
  } catch {
    // No cache: slower, not wrong.
    rmSync(code, { force: true });
  }
  renameSync(loader, join(output, `${name}.cjs`));
}

if (import.meta.main) await bundleCli();
