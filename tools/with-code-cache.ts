// A bundle that is compiled when it is made. Node's own cache of compiled code (NODE_COMPILE_CACHE)
// keeps only what a module compiles while it is loaded; a script's cache that is taken after its
// functions were called has them, too. NAME.cjs is what Node is started with: it loads NAME.js with
// NAME.code, what V8 made of it. Only whoever makes the bundle writes either: no process that runs
// it does, so nobody can slip code to another user. A cache of another V8 is refused by V8; one
// that is damaged is not: the launchers look at the sum at its end (native/warm-program.c).

import { execFileSync } from "node:child_process";

const REHEARSAL_MS_MAX = 60_000;
const SUM_BYTES = 8;

/** CommonJS text that loads the other two files. With `--gantry-rehearsal PATH` it writes the cache
 * to PATH once the promise that the program exports as `rehearsed` has resolved. */
export function loaderText(name: string): string {
  return `"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { Script, constants } = require("node:vm");
const filename = join(__dirname, ${JSON.stringify(`${name}.js`)});
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, ${JSON.stringify(`${name}.code`)})).subarray(0, -${SUM_BYTES});
} catch {}
const script = new Script(readFileSync(filename, "latin1"), {
  filename, cachedData, importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
const own = { exports: {} };
script.runInThisContext()(own.exports, require, own, filename, __dirname);
if (process.argv[2] === "--gantry-rehearsal") {
  Promise.resolve(own.exports.rehearsed).then(() =>
    writeFileSync(process.argv[3], script.createCachedData(), { flag: "wx", mode: 0o600 }),
  );
}
`;
}

/** The program as a function's expression. It must be ASCII: it is read as Latin-1. */
export const scriptText = (program: string): string =>
  `(function (exports, require, module, __filename, __dirname) {${program}\n})`;

/** Has the program call its functions and writes what was compiled to \`path\`. Throws where it
 * fails: without the cache the program is slower, not wrong. */
export function writeCodeCache(loader: string, path: string): void {
  const args = ["--disable-warning=ExperimentalWarning", loader, "--gantry-rehearsal", path];
  const env = { PATH: "/usr/bin:/bin" };
  execFileSync(process.execPath, args, { env, stdio: "ignore", timeout: REHEARSAL_MS_MAX });
}

const SUM_OFFSET = 0xcbf29ce484222325n;
const SUM_PRIME = 0x100000001b3n;
const WORD = 0xffffffffffffffffn;

/** What native/warm-program.c compares: words of eight bytes, of one after the other. */
function sumOf(script: Buffer, compiled: Buffer): bigint {
  let sum = SUM_OFFSET ^ BigInt(script.length);
  for (const data of [script, compiled]) {
    const words = Buffer.alloc(Math.ceil(data.length / SUM_BYTES) * SUM_BYTES);
    data.copy(words);
    for (let at = 0; at < words.length; at += SUM_BYTES) {
      sum = ((sum ^ words.readBigUInt64LE(at)) * SUM_PRIME) & WORD;
      sum ^= sum >> 32n;
    }
  }
  return sum;
}

/** The content of NAME.code: what was compiled of NAME.js, and the sum of both. */
export function summed(script: Buffer, compiled: Buffer): Buffer {
  const sum = Buffer.alloc(SUM_BYTES);
  sum.writeBigUInt64LE(sumOf(script, compiled));
  return Buffer.concat([compiled, sum]);
}

/** Whether NAME.js and NAME.code are as they were written. */
export function isWhole(script: Buffer, code: Buffer): boolean {
  return summed(script, code.subarray(0, -SUM_BYTES)).equals(code);
}
