// The kernel's floor: the least that this machine takes for one container, by the floor program
// where its source is at hand. Compiled here, run in a network namespace of its own.

import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import { payloadProgram } from "../payload/payload.ts";

const SOURCE = join(root, "../shared/bench/floor.c");
const LEVEL_NONE = 63;
const LEVEL_BRIDGE = 127;

/** Milliseconds until one container is torn down again, p50. */
export type FloorLevels = { none: number; bridge: number };

export async function measureFloor(
  runs: number,
  pauseMs: number,
): Promise<FloorLevels | undefined> {
  if (!existsSync(SOURCE) || pauseMs > 0) return undefined; // it has a pause of its own, 6 ms
  const folder = await mkdtemp(join(tmpdir(), "gantry-bench-floor-"));
  try {
    const program = join(folder, "floor");
    const built = await run("gcc", ["-O2", "-static", "-w", "-o", program, SOURCE]);
    if (built.code !== 0) return undefined;
    const rootfs = join(folder, "rootfs");
    for (const name of ["proc", "dev", "sys", "mnt"])
      await mkdir(join(rootfs, name), { recursive: true });
    await copyFile(await payloadProgram(), join(rootfs, "true"));
    const level = (n: number) => measureLevel(program, n, runs, folder, rootfs);
    const [none, bridge] = [await level(LEVEL_NONE), await level(LEVEL_BRIDGE)];
    return none === undefined || bridge === undefined ? undefined : { none, bridge };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureLevel(
  program: string,
  level: number,
  runs: number,
  folder: string,
  rootfs: string,
): Promise<number | undefined> {
  const work = await mkdtemp(join(folder, "work-"));
  const args = ["-n", "-m", "--", program, String(level), String(runs), work, rootfs];
  const { code, stdout, stderr } = await run("unshare", args);
  const found = /torn-down p50 (\d+) us/.exec(stdout);
  if (code !== 0 || found === null) {
    console.log(`the floor program fails at level ${level}: ${stderr}`);
    return undefined;
  }
  return Number(found[1]) / 1000;
}
