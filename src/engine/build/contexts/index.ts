// The door to contexts: opens every kind of source that a build can name.

import { GantryError } from "../../../base/index.ts";
import type { ContextSource, OpenContext } from "../job.ts";
import type { ContextPlace, ContextWish } from "./contract.ts";

export type { ContextPlace, ContextWish } from "./contract.ts";
export { type ContextEntry, ContextStore, openContextStore } from "./store.ts";

/** Opens a context: its files stand still until `release`. The workers of `place.workspace` find it
 * by `source`. Throws what the user is shown. */
export async function openContext(
  place: ContextPlace,
  source: ContextSource,
  wish: ContextWish,
): Promise<OpenContext> {
  const { workspace } = place;
  const { name, signal } = wish;
  const release = async () => {};
  switch (source.kind) {
    case "empty":
      await workspace.emptyContext(name);
      return { source: { kind: "context", name }, release };
    case "stream":
      await workspace.unpack(name, source.bytes, { signal });
      return { source: { kind: "context", name }, release };
    case "folder":
      workspace.setContext(name, source.path);
      return { source: { kind: "context", name }, release };
    case "image": {
      if (!place.image) break;
      const root = await place.image(source.reference, { signal });
      return { source: { kind: "root", root }, release };
    }
  }
  throw new GantryError("not-implemented", `${source.kind} contexts are not supported yet`);
}
