// A CRIU that works with this kernel: of GANTRY_TEST_CRIU, where .ci/run unpacks one, or the
// machine's. Debian's stable one is older than kernels that tests run on.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const unpacked = fileURLToPath(new URL("../../.gantry-cache/criu", import.meta.url));
const CHECK_DEADLINE_MS = 60_000;

/** Puts it first on PATH. For a test's `skip`: false when `criu check` succeeds. */
export function whyNoCriu(): string | false {
  const folder = process.env["GANTRY_TEST_CRIU"] || unpacked;
  if (existsSync(join(folder, "criu"))) {
    process.env["PATH"] = `${folder}${delimiter}${process.env["PATH"]}`;
  }
  return canDo("check") ? false : "no CRIU that works here (criu check)";
}

/** Whether the kernel tells what a process has written to since a dump. */
export const tracksMemory = (): boolean => canDo("check", "--feature", "mem_dirty_track");

function canDo(...args: string[]): boolean {
  try {
    execFileSync("criu", args, { stdio: "ignore", timeout: CHECK_DEADLINE_MS });
    return true;
  } catch {
    return false;
  }
}
