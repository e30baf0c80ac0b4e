// Load: the images of an archive. Nothing is tagged unless all of it was sound.

import type { Readable } from "node:stream";
import { GantryError, kindOf, messageOf } from "../../base/index.ts";
import { readPlatform } from "../../spec/index.ts";
import { loadArchive } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Progress, Signal } from "../contract.ts";
import { hostPlatform } from "./find.ts";
import { familiar } from "./render.ts";
import { announceImage } from "./tag.ts";

/** Yields docker's "Loaded image" messages. Commit point: the images are tagged. */
export async function* loadImages(
  engine: EngineContext,
  from: Readable,
  o: Signal & { quiet?: boolean; platform?: string[] } = {},
): AsyncGenerator<Progress> {
  const loaded = await loadArchive(engine.storage, from, {
    platforms: (o.platform ?? []).map((text) => readPlatform(text, hostPlatform())),
    host: hostPlatform(),
    ...(o.signal && { signal: o.signal }),
  }).catch((error) => {
    // What is damaged came from the client.
    if (kindOf(error) !== "corrupt") throw error;
    throw new GantryError("invalid", messageOf(error), { cause: error });
  });
  const isNamed = loaded.some(({ references }) => references.length > 0);
  for (const { id, references, index } of loaded) {
    if (references.length > 0) announceImage(engine, "load", id, id);
    for (const reference of references) {
      yield { stream: `Loaded image: ${familiar(reference)}\n` };
    }
    // The other platforms of an index go with its name.
    if (references.length > 0 || (isNamed && index !== undefined)) continue;
    announceImage(engine, "load", id, id);
    yield { stream: `Loaded image ID: ${id}\n` };
  }
}
