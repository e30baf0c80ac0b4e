// Which file system is full, and what would make room.

import { statfs } from "node:fs/promises";
import { type Advice, type GantryError, humanBinarySize } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";

export async function adviseFullDisk(
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
  const root = engine.options.dataRoot;
  const found = await statfs(root).catch(() => undefined);
  if (!found) return undefined;
  const free = found.bavail * found.bsize;
  const inodes = found.ffree;
  const left = `${humanBinarySize(free)} and ${inodes} inodes are left`;
  return {
    cause: `the file system of ${root} is full, or a quota on it is used up: ${left}`,
    remedy: [
      "see what takes room with `gantry system df -v`, free it with `gantry system prune`",
      "or move the data root (--data-root) to a larger disk",
    ],
  };
}
