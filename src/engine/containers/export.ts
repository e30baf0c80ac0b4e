// Export: the root file system as a tar, without what is mounted in it.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { announce } from "./announce.ts";
import { isRemoving } from "./record.ts";
import { rootSource } from "./root-source.ts";

export async function exportContainer(
  engine: EngineContext,
  ref: string,
  { signal }: Signal = {},
): Promise<Readable> {
  const c = engine.containers.find(ref);
  if (isRemoving(c) || c.dead) {
    throw new GantryError("conflict", "You cannot export a container which is being removed");
  }
  const source = await rootSource(engine, c, { volumes: false });
  const tar = engine.files.export(source, signal ? { signal } : {});
  announce(engine, c, "export");
  return tar;
}
