// How a warm process comes to be: the launcher binds its socket before Node starts, so that all who
// call meanwhile wait for one Node; where that Node dies, each runs its own. What is compiled
// already is used only where it is as it was written.

import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildNative } from "../../tools/build-native.ts";
import { bundleCli } from "../../tools/bundle-cli.ts";
import { loaderText, scriptText, summed } from "../../tools/with-code-cache.ts";

const built = fileURLToPath(new URL("../../native/build", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gantry-warm-"));
const CALLERS = 8;
const run = promisify(execFile);

before(async () => {
  await buildNative();
  await bundleCli();
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** As native/warm-program.c names the build of a program whose only file is not there. */
function buildOf(root: string): string {
  let id = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`${root}nothing\0`)) {
    id = ((id ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return id.toString(16).padStart(16, "0");
}

/** An installation of its own whose Node is a script; `bundle` is the path of gantry-runtime's. */
class Installed implements Disposable {
  readonly root: string;
  readonly bundle: string;
  readonly env: Record<string, string>;

  constructor(name: string, node: (root: string) => string) {
    this.root = join(folder, name);
    const runtime = join(this.root, "run");
    mkdirSync(join(this.root, "native/build"), { recursive: true });
    mkdirSync(join(this.root, "bin"));
    mkdirSync(runtime, { mode: 0o700 });
    for (const machine of ["x64", "arm64"]) {
      const bin = join(this.root, `node_modules/node-linux-${machine}/bin`);
      mkdirSync(bin, { recursive: true });
      writeFileSync(join(bin, "node"), `#!/bin/sh\n${node(this.root)}\n`, { mode: 0o755 });
    }
    const program = join(this.root, "native/build/gantry-native");
    copyFileSync(join(built, "gantry-native"), program);
    symlinkSync(program, join(this.root, "bin/gantry-runtime"));
    writeFileSync(join(this.root, "native/build/runtime.inputs"), "nothing\n");
    this.bundle = join(this.root, `native/build/runtime-${buildOf(this.root)}`);
    this.env = { PATH: process.env["PATH"] ?? "", XDG_RUNTIME_DIR: runtime };
  }

  /** The real gantry-runtime. */
  bring(): void {
    const found = readdirSync(built).find((file) => /^runtime-[0-9a-f]{16}\.js$/.test(file));
    assert.ok(found, "nothing is bundled");
    copyFileSync(join(built, found), `${this.bundle}.js`);
    writeFileSync(`${this.bundle}.cjs`, loaderText(`runtime-${buildOf(this.root)}`));
  }

  async call(...args: string[]): Promise<string> {
    return (await run(join(this.root, "bin/gantry-runtime"), args, { env: this.env })).stdout;
  }

  starts(): string[] {
    return readFileSync(join(this.root, "starts"), "utf8").trim().split("\n");
  }

  /** Kills its warm processes. */
  #kill(): string[] {
    return readdirSync("/proc").filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        if (!words.includes("--gantry-warm") || !words.includes(this.root)) return false;
        return process.kill(+pid, "SIGKILL");
      } catch {
        return false; // no process, or one that has ended meanwhile
      }
    });
  }

  /** Resolves when they have closed all that they had open. */
  async killed(): Promise<void> {
    for (const pid of this.#kill()) while (isAlive(pid)) await delay(10);
  }

  [Symbol.dispose](): void {
    this.#kill();
  }
}

function isAlive(pid: string): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

const counting = (root: string) => `echo "$*" >> ${root}/starts\nexec ${process.execPath} "$@"`;

test("callers of one moment wait for one Node", async () => {
  using installed = new Installed("one", counting);
  installed.bring();
  const answers = await Promise.all(
    Array.from({ length: CALLERS }, () => installed.call("--version")),
  );
  for (const answer of answers) assert.match(answer, /^gantry-runtime version /);
  assert.equal(installed.starts().length, 1, installed.starts().join("\n"));
  await installed.call("--version");
  assert.equal(installed.starts().length, 1);
});

test("callers whose warm process dies before it has answered run Node themselves", async () => {
  const dying = (root: string) =>
    `case "$*" in *--gantry-warm*) read -r line < ${root}/fifo; exit 1;; esac\n${counting(root)}`;
  using installed = new Installed("dying", dying);
  installed.bring();
  execFileSync("mkfifo", [join(installed.root, "fifo")]);
  const calls = Array.from({ length: CALLERS }, () => installed.call("--version"));
  const fifo = await open(join(installed.root, "fifo"), "r+");
  await fifo.write("\n".repeat(CALLERS));
  const answers = await Promise.all(calls);
  await fifo.close();
  for (const answer of answers) assert.match(answer, /^gantry-runtime version /);
  assert.equal(installed.starts().length, CALLERS);
});

test("a warm process that was killed is followed by the next call's", async () => {
  using installed = new Installed("killed", counting);
  installed.bring();
  const wanted = await installed.call("--version");
  await installed.killed();
  assert.equal(await installed.call("--version"), wanted);
  for (const start of installed.starts()) assert.match(start, /--gantry-warm/);
});

test("one bit of what is compiled is wrong, and Node gets the sources instead", () => {
  using installed = new Installed("damaged", () => 'echo "$2" >&2; exit 1');
  const env = { ...installed.env, GANTRY_PLAIN: "1" };
  const started = () =>
    spawnSync(join(installed.root, "bin/gantry-runtime"), ["--version"], {
      env,
      encoding: "utf8",
    }).stderr.split("\n")[0];
  const sources = join(installed.root, "bin/gantry-runtime.ts");
  const loader = `${installed.bundle}.cjs`;
  assert.equal(started(), sources);
  writeFileSync(loader, "");
  assert.equal(started(), loader, "one file");
  const script = Buffer.from(scriptText("exports.text = 'as it was written'"));
  const code = summed(script, Buffer.from("what V8 makes of it, in more than one word"));
  const write = (text: Buffer, compiled: Buffer) => {
    writeFileSync(`${installed.bundle}.js`, text);
    writeFileSync(`${installed.bundle}.code`, compiled);
  };
  write(script, code);
  assert.equal(started(), loader);
  const flipped = (data: Buffer, at: number) => {
    const copy = Buffer.from(data);
    copy[at]! ^= 0x80;
    return copy;
  };
  for (let at = 0; at < code.length; at++) {
    write(script, flipped(code, at));
    assert.equal(started(), sources, `byte ${at} of the code`);
  }
  for (const text of [flipped(script, 7), flipped(script, script.length - 1), Buffer.alloc(0)]) {
    write(text, code);
    assert.equal(started(), sources);
  }
  for (const cut of [0, 7, 8, code.length - 8, code.length - 1]) {
    write(script, code.subarray(0, cut));
    assert.equal(started(), sources, `cut at ${cut}`);
  }
  write(script, code);
  assert.equal(started(), loader);
  rmSync(`${installed.bundle}.js`);
  assert.equal(started(), sources);
  assert.equal(existsSync(`${installed.bundle}.js`), false);
});
