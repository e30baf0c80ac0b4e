// xz by the machine's own program, as dockerd does it: a reader that is slow stops it, and so does
// one that goes away. It reads strangers' bytes, so it runs as nobody and within a limit of memory.

import { spawn } from "node:child_process";
import { PassThrough, type Readable } from "node:stream";
import { GantryError } from "../base/index.ts";

const NOBODY = 65_534;
const MEMORY = "--memlimit-decompress=512MiB";
const ERROR_CHARS_MAX = 500;

export function unxz(source: Readable): Readable {
  const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const child = spawn("xz", ["-dc", MEMORY], {
    ...{
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
      stdio: ["pipe", "pipe", "pipe"],
      ...account,
    },
  });
  const output = new PassThrough();
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(0, ERROR_CHARS_MAX);
  });
  child.on("error", (cause) => {
    const message = "cannot run xz, which unpacks .xz archives: install it (xz-utils)";
    output.destroy(new GantryError("unavailable", message, { cause }));
  });
  child.on("close", (code) => {
    if (code === 0) output.end();
    else output.destroy(new GantryError("corrupt", said.trim() || `xz ended with ${code}`));
  });
  // It may end before it has read everything.
  child.stdin.on("error", () => {});
  source.on("error", (error) => output.destroy(error));
  source.pipe(child.stdin);
  child.stdout.pipe(output, { end: false });
  output.on("close", () => {
    child.kill("SIGKILL");
    source.destroy();
  });
  return output;
}
