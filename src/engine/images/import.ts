// Import: a root file system archive becomes an image of one layer.

import { applyChanges } from "../../build/index.ts";
import { familiarReference, formatReference, readPlatform } from "../../spec/index.ts";
import { importRootfs } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Images, Progress } from "../contract.ts";
import { hostPlatform } from "./find.ts";
import { announceImage, parseTarget } from "./tag.ts";

type ImportRequest = Parameters<Images["import"]>[0];

/** Yields docker's one progress message: the id. Commit point: the image is stored. */
export async function* importImage(
  engine: EngineContext,
  o: ImportRequest,
): AsyncGenerator<Progress> {
  const target = o.repo ? parseTarget(o.repo, o.tag ?? "") : undefined;
  const host = hostPlatform();
  const platform = o.platform ? readPlatform(o.platform, host) : host;
  // Before any byte is unpacked: a wrong --change must not cost an import.
  const config = applyChanges({}, o.changes);
  const id = await importRootfs(engine.storage, o.from, {
    config,
    ...(o.message && { message: o.message }),
    platform,
    ...(o.signal && { signal: o.signal }),
  });
  if (target) {
    await engine.storage.images.tag(id, formatReference(target));
    announceImage(engine, "tag", id, familiarReference(target));
  }
  announceImage(engine, "import", id, id);
  yield { status: id };
}
