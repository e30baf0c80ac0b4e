// Changes: what a container added, changed and deleted, read from its writable layer.

import type { Operation } from "../../native/index.ts";
import type { EngineContext } from "../context.ts";
import { lowerRoot } from "./root-access.ts";

const KINDS: Record<string, 0 | 1 | 2> = { C: 0, A: 1, D: 2 };
const SLOT_UPPER = 1;
const SLOT_LOWER = 2;
const O_PATH_DIRECTORY = 0o10000000 | 0o200000;

export async function containerChanges(
  engine: EngineContext,
  ref: string,
): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]> {
  const c = engine.containers.find(ref);
  const rootfs = engine.storage.snapshots.get(c.id);
  if (rootfs?.kind !== "overlay") return [];
  const host: Operation[] = [
    { op: "open", path: rootfs.upperDir, flags: O_PATH_DIRECTORY, to: SLOT_UPPER },
    ...lowerRoot(rootfs, SLOT_LOWER),
    { op: "changes", upper: SLOT_UPPER, lower: SLOT_LOWER },
  ];
  const results = await engine.native.run({ host });
  return parseChanges(new TextDecoder().decode(results.bytes(host.length - 1)));
}

/** Lines "A|C|D path". */
export function parseChanges(text: string): { Path: string; Kind: 0 | 1 | 2 }[] {
  return text
    .split("\n")
    .filter((line) => line.length > 2)
    .map((line) => ({ Path: line.slice(2), Kind: KINDS[line[0]!] ?? 0 }))
    .sort((a, b) => (a.Path < b.Path ? -1 : 1));
}
