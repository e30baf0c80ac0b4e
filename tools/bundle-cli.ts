// Writes what the launchers need to know of the client and of gantry-runtime:
// native/build/<name>.inputs, the files whose change makes it another build, and, where esbuild is
// installed, native/build/<name>-<id>.cjs, the whole program as one file, or what loads it as one
// script that is compiled already: it starts in a third to half of the time of the sources. The id
// is computed as native/warm.c does.

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "../src/base/index.ts";
import { lateModules } from "./late-modules.ts";
import { isWhole, loaderText, scriptText, summed, writeCodeCache } from "./with-code-cache.ts";

const root = realpathSync(fileURLToPath(new URL("..", import.meta.url)));
const output = join(root, "native/build");
/** What is older was left by a bundling that was killed. */
const BUNDLING_MS_MAX = 10 * 60_000;

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
  const shared = ["warm", "warm-program", "warm-relay"].map((name) => `native/${name}.c`);
  return [...sources.sort(), ...files, ...shared, "package.json"];
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

/** Readable for every user, and nobody else's to write, whatever the umask. */
const FILE_MODE = 0o644;

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
  if (known !== list) await writeFileAtomic(listPath, list, { mode: FILE_MODE });
  const name = `${program.name}-${buildId(files)}`;
  const old = readdirSync(output).filter((file) => isOld(program, file));
  if (old.includes(`${name}.cjs`) && isUsable(name)) return;
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
      await write(`${name}.js`, scriptText(text));
      await compile(name);
    } else await write(`${name}.cjs`, text);
  }
  for (const file of old) {
    if (!file.startsWith(name)) rmSync(join(output, file), { force: true });
  }
}

const write = (name: string, content: string | Uint8Array): Promise<void> =>
  writeFileAtomic(join(output, name), content, { mode: FILE_MODE });

/** Bundles, and what a bundling that was cut short has left. */
function isOld({ name }: Program, file: string): boolean {
  const build = `${name}-[0-9a-f]{16}`;
  if (new RegExp(`^${build}\\.(cjs|js|code)$`).test(file)) return true;
  const rest = new RegExp(`^(rehearsal-.*-${build}\\.(cjs|code)|${build}\\..*\\.tmp)$`);
  if (!rest.test(file)) return false;
  const changedMs = statSync(join(output, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return Date.now() - changedMs > BUNDLING_MS_MAX;
}

/** Not damaged since it was made: a power cut, a bad disk. */
function isUsable(name: string): boolean {
  const [code, script] = ["code", "js"].map((kind) => readable(join(output, `${name}.${kind}`)));
  return code === undefined || (script !== undefined && isWhole(script, code));
}

function readable(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** The loader comes last: where it is, all is there. */
async function compile(name: string): Promise<void> {
  const rehearsal = join(output, `rehearsal-${randomBytes(6).toString("hex")}-${name}`);
  const [loader, compiled] = [`${rehearsal}.cjs`, `${rehearsal}.code`];
  try {
    writeFileSync(loader, loaderText(name), { flag: "wx", mode: FILE_MODE });
    writeCodeCache(loader, compiled);
    const script = readFileSync(join(output, `${name}.js`));
    await write(`${name}.code`, summed(script, readFileSync(compiled)));
  } catch {
    // No cache: slower, not wrong.
    rmSync(join(output, `${name}.code`), { force: true });
  } finally {
    for (const path of [loader, compiled]) rmSync(path, { force: true });
  }
  await write(`${name}.cjs`, loaderText(name));
}

if (import.meta.main) await bundleCli();
