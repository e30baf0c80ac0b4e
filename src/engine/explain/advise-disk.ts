// Which file system is full, and what would make room.

import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { type Advice, type GantryError, humanBinarySize } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";

const LITTLE_BYTES = 1 << 20;
const FEW_INODES = 64;

export async function adviseNoSpace(
  engine: EngineContext,
  error: GantryError,
): Promise<Advice | undefined> {
  const { operation } = error.detail as { operation?: { path?: string } };
  const path = operation?.path ?? "";
  if (path.startsWith("/sys/fs/cgroup/")) {
    return {
      cause: `the kernel takes no more in ${path}`,
      remedy: ["a cpuset without processors or memory nodes takes no process: see its parent"],
    };
  }
  return await adviseFullDisk(engine);
}

/** Of the folders that the daemon writes to, those that are full. */
export async function adviseFullDisk({ options }: EngineContext): Promise<Advice | undefined> {
  const { dataRoot, execRoot } = options;
  const full: string[] = [];
  for (const root of new Set([dataRoot, execRoot, tmpdir()])) {
    const left = await whatIsLeft(root);
    if (left?.isLittle) full.push(`the file system of ${root} is full: ${left.text}`);
  }
  const left = await whatIsLeft(dataRoot);
  if (full.length === 0 && left === undefined) return undefined;
  const quota = `the file system of ${dataRoot} is full, or a quota on it is used up: ${left?.text}`;
  return {
    cause: full.join("; ") || quota,
    remedy: [
      "see what takes room with `gantry system df -v`, free it with `gantry system prune`",
      "or move the data root (--data-root) to a larger disk",
    ],
  };
}

async function whatIsLeft(path: string): Promise<{ text: string; isLittle: boolean } | undefined> {
  const found = await statfs(path).catch(() => undefined);
  if (!found) return undefined;
  const { bavail, bsize, files, ffree } = found;
  const free = bavail * bsize;
  // Some file systems (btrfs) do not count inodes.
  const inodes = files === 0 ? "" : ` and ${ffree} inodes`;
  return {
    text: `${humanBinarySize(free)}${inodes} are left`,
    isLittle: free < LITTLE_BYTES || (files > 0 && ffree < FEW_INODES),
  };
}
