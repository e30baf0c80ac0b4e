// Changes: what a container added, changed and deleted, read from its writable layer.

import type { EngineContext } from "../context.ts";

const KINDS = { C: 0, A: 1, D: 2 } as const;

export async function containerChanges(
  engine: EngineContext,
  ref: string,
): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]> {
  const c = engine.containers.find(ref);
  const rootfs = engine.storage.snapshots.get(c.id);
  if (!rootfs) return [];
  const changes = await engine.files.changes(rootfs);
  return changes.map(({ kind, path }) => ({ Path: path, Kind: KINDS[kind] }));
}
