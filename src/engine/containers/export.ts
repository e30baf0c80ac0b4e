// Export: the root file system as a tar, without what is mounted in it.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { announce } from "./announce.ts";
import { streamFrom } from "./archive.ts";
import { isRemoving } from "./record.ts";
import { bareRoot, SLOT_ROOT } from "./root-access.ts";

const SLOT_STREAM = 10;
/** native/archive.h */
const ARCHIVE_CONTENTS = 16;

export async function exportContainer(
  engine: EngineContext,
  ref: string,
  { signal }: Signal = {},
): Promise<Readable> {
  const c = engine.containers.find(ref);
  if (isRemoving(c) || c.dead) {
    throw new GantryError("conflict", "You cannot export a container which is being removed");
  }
  const rendezvous = engine.native.openStream();
  const tar = await streamFrom(engine, {
    host: [
      { op: "connect", path: rendezvous.path, token: rendezvous.token, to: SLOT_STREAM },
      ...(await bareRoot(engine, c)),
      { op: "tar", root: SLOT_ROOT, path: "/", flags: ARCHIVE_CONTENTS, to: SLOT_STREAM },
    ],
    rendezvous,
    signal,
  });
  announce(engine, c, "export");
  return tar;
}
