// Export: the root file system as a tar, without what is mounted in it.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { announce } from "./announce.ts";
import { isRemoving } from "./record.ts";

export async function exportContainer(
  engine: EngineContext,
  ref: string,
  { signal }: Signal = {},
): Promise<Readable> {
  const c = engine.containers.find(ref);
  if (isRemoving(c) || c.dead) {
    throw new GantryError("conflict", "You cannot export a container which is being removed");
  }
  // From its layers also while it runs: what is mounted in it would hide what is beneath.
  const rootfs = engine.storage.snapshots.get(c.id);
  if (!rootfs) throw new GantryError("internal", `Container ${c.id} has no root file system`);
  const tar = engine.files.export({ kind: "mount", rootfs }, signal ? { signal } : {});
  announce(engine, c, "export");
  return tar;
}
