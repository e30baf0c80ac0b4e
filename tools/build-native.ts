// Builds the native program with gcc, and only when a source has changed: the hash of sources and
// flags is the end of each program itself, so that whoever builds at the same time, the two belong
// together. Two compilers at a time at most.
// `--asan` builds gantry-native-asan (AddressSanitizer and UBSan) for the tests. `--cross arm64
// FOLDER` builds for the other kind of machine, into a folder of its own.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeHeader } from "./gen-operations.ts";

const sources = fileURLToPath(new URL("../native/", import.meta.url));
const output = join(sources, "build");
const COMPILERS_MAX = 2;
/** By Node's name of a machine. Debian: gcc-aarch64-linux-gnu and libc6-dev-arm64-cross. */
const CROSS_COMPILERS: Readonly<Record<string, string>> = {
  arm64: "aarch64-linux-gnu-gcc",
  x64: "x86_64-linux-gnu-gcc",
};
const WARNINGS = ["-Wall", "-Wextra", "-Werror"];
const BASE = ["-std=gnu11", "-D_GNU_SOURCE=", "-fno-common", ...WARNINGS];
const RELEASE = [...BASE, "-O2", "-fno-pie", "-ffunction-sections", "-fdata-sections"];
const ASAN = [...BASE, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const LINK = ["-static", "-no-pie", "-Wl,--gc-sections", "-Wl,-z,norelro", "-s"];

/** Programs of one file; everything else in native/ is linked into gantry-native. */
const ALONE = new Set(["init.c", "launcher.c", "hello.c"]);

type Target = { name: string; files: string[]; compile: string[]; link: string[] };

/** Who compiles, for which machine (as process.arch has it), and where the programs go. */
interface Toolchain {
  gcc: string;
  arch: string;
  output: string;
}
/** By Node's name: what uname(1) says there. bin/gantry reads it in native/build/machine. */
const MACHINES: Readonly<Record<string, string>> = { arm64: "aarch64", x64: "x86_64" };
const OWN: Toolchain = { gcc: "gcc", arch: process.arch, output };

function crossToolchain(arch: string, folder: string | undefined): Toolchain {
  const gcc = CROSS_COMPILERS[arch];
  if (!gcc || folder === undefined) throw new Error("Usage: --cross arm64|x64 FOLDER");
  return { gcc, arch, output: resolve(folder) };
}

function targets(asan: boolean): Target[] {
  const all = readdirSync(sources).filter((file) => file.endsWith(".c"));
  const core = all.filter((file) => !ALONE.has(file)).sort();
  if (asan) {
    return [{ name: "gantry-native-asan", files: core, compile: ASAN, link: ASAN }];
  }
  const single = (name: string, ...files: string[]): Target[] =>
    all.includes(files[0]!) ? [{ name, files, compile: RELEASE, link: LINK }] : [];
  return [
    { name: "gantry-native", files: core, compile: RELEASE, link: LINK },
    ...single("gantry-init", "init.c"),
    ...single("gantry-launcher", "launcher.c", "warm.c", "warm-program.c", "warm-relay.c"),
    ...single("hello", "hello.c"),
  ];
}

/** Of the machine too: a checkout may be shared between two kinds. */
function hashOf(target: Target, { arch }: Toolchain): string {
  const made = JSON.stringify([arch, target.compile, target.link]);
  const hash = createHash("sha256").update(made);
  const headers = readdirSync(sources).filter((file) => file.endsWith(".h"));
  for (const file of [...target.files, ...headers].sort()) {
    hash.update(`${file}\0`).update(readFileSync(join(sources, file)));
  }
  return hash.digest("hex");
}

function compiler(program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: sources, stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk) => (errors += chunk));
    child.on("error", (error: NodeJS.ErrnoException) => {
      const hint = program === "gcc" ? " (Debian: apt-get install gcc libc6-dev)" : "";
      const missing = `${program} is missing: install it and try again${hint}`;
      reject(new Error(error.code === "ENOENT" ? missing : error.message));
    });
    child.on("close", (code) => {
      if (code === 0) return resolve();
      const hint = errors.includes("cannot find -lc")
        ? "\nInstall the static C library (libc6-dev)"
        : "";
      reject(new Error(`${program} ${args.join(" ")} failed:\n${errors.trim()}${hint}`));
    });
  });
}

async function compileAll(target: Target, gcc: string, folder: string): Promise<string[]> {
  const waiting = [...target.files];
  const objects = target.files.map((file) => join(folder, `${basename(file, ".c")}.o`));
  const worker = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const object = join(folder, `${basename(file, ".c")}.o`);
      await compiler(gcc, [...target.compile, "-c", file, "-o", object]);
    }
  };
  await Promise.all(Array.from({ length: COMPILERS_MAX }, worker));
  return objects;
}

async function build(target: Target, tools: Toolchain): Promise<void> {
  const program = join(tools.output, target.name);
  // Sources may change meanwhile: what they were at the end is what was compiled.
  for (let hash = hashOf(target, tools); !endsWith(program, hash); hash = hashOf(target, tools)) {
    const folder = join(tools.output, `.${target.name}.${randomBytes(4).toString("hex")}`);
    mkdirSync(folder, { recursive: true });
    try {
      const objects = await compileAll(target, tools.gcc, folder);
      const made = join(folder, target.name);
      await compiler(tools.gcc, [...target.link, ...objects, "-o", made]);
      appendFileSync(made, hash);
      if (hashOf(target, tools) === hash) renameSync(made, program);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

function endsWith(program: string, hash: string): boolean {
  try {
    return readFileSync(program).subarray(-hash.length).toString("latin1") === hash;
  } catch {
    return false;
  }
}

/** What stat says of everything that the programs are made of. */
function inputs(): string {
  const files = readdirSync(sources).filter((file) => /\.[ch]$/.test(file));
  const others = ["../src/native/operations.ts", "../tools/build-native.ts"];
  const hash = createHash("sha256").update(`${sources}\0${OWN.arch}\0`);
  for (const file of [...files.sort(), ...others]) {
    const { mtimeMs, size } = statSync(join(sources, file));
    hash.update(`${file}\0${mtimeMs}\0${size}\0`);
  }
  return hash.digest("hex");
}

/** As buildNative, in a millisecond where nothing has changed since the last time. */
export async function ensureNative(): Promise<void> {
  if (!existsSync(join(sources, "main.c"))) return; // an installation without the sources
  const stamp = join(output, "native.inputs");
  const before = inputs();
  const programs = targets(false).map(({ name }) => join(output, name));
  if (read(stamp) === before && programs.every((program) => existsSync(program))) return;
  await buildNative();
  if (inputs() !== before) return;
  try {
    replace(stamp, before);
  } catch {
    // Read-only: looked at anew each time.
  }
}

function replace(path: string, content: string): void {
  const temporary = `${path}.${randomBytes(4).toString("hex")}`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Brings native/build up to date. Throws an Error whose message is for people. */
export async function buildNative({ asan = false, tools = OWN } = {}): Promise<void> {
  if (process.platform !== "linux") throw new Error("Gantry's native program needs Linux");
  mkdirSync(tools.output, { recursive: true });
  writeHeader();
  for (const target of targets(asan)) await build(target, tools);
  const machine = `${MACHINES[tools.arch]}\n`;
  const path = join(tools.output, "machine");
  if (!asan && read(path) !== machine) replace(path, machine);
}

if (import.meta.main) {
  try {
    const { values, positionals } = parseArgs({
      options: { asan: { type: "boolean" }, cross: { type: "string" } },
      allowPositionals: true,
    });
    const { asan = false, cross } = values;
    const tools = cross === undefined ? OWN : crossToolchain(cross, positionals[0]);
    await buildNative({ asan, tools });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
