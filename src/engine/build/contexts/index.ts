// The door to contexts: opens every kind of source that a build can name.

import { GantryError } from "../../../base/index.ts";
import { gitSource, IgnoreMatcher, readIgnoreFile } from "../../../build/index.ts";
import { hostPlatform } from "../../images/find.ts";
import type { ContextSource, OpenContext } from "../job.ts";
import type { ClientFolder } from "../session.ts";
import type { ContextPlace, ContextWish } from "./contract.ts";
import { FileTree } from "./file-tree.ts";
import { gitTree } from "./git-source.ts";
import { httpContext } from "./http-context.ts";
import type { IndexedContext } from "./index-files.ts";
import { openLocalFolder } from "./local-folder.ts";
import { loadLayout } from "./oci-layout.ts";
import { syncFolder } from "./session-context.ts";
import { streamContext } from "./stream-context.ts";

export type { ContextPlace, ContextWish } from "./contract.ts";
export { gitSecrets } from "./git-access.ts";
export { type GitPlace, gitTree } from "./git-source.ts";
export { loadLayout } from "./oci-layout.ts";
export { type ContextEntry, ContextStore, type ContextType, openContextStore } from "./store.ts";

/** Opens a context: its files stand still until `release`. The workers of `place.workspace` find it
 * by `source`. Throws what the user is shown. */
export async function openContext(
  place: ContextPlace,
  source: ContextSource,
  wish: ContextWish,
): Promise<OpenContext> {
  const { name, reporter } = wish;
  if (wish.vertex || !reporter) return await openKind(place, source, wish);
  const title = name === "" ? "[internal] load build context" : `[context ${name}] load`;
  return await reporter.step(title, (vertex) => openKind(place, source, { ...wish, vertex }));
}

async function openKind(
  place: ContextPlace,
  source: ContextSource,
  wish: ContextWish,
): Promise<OpenContext> {
  const { workspace } = place;
  const { name, signal } = wish;
  const indexed = (context: IndexedContext, release = async () => {}): OpenContext => {
    workspace.setContext(name, context);
    return { source: { kind: "context", name }, release };
  };
  switch (source.kind) {
    case "empty":
      return indexed({ tree: new FileTree() });
    case "stream": {
      return indexed(await streamContext(place, source.bytes, { signal, ...counted(wish) }));
    }
    case "session": {
      const { session } = source;
      const identity = [session.sharedKey || session.id, source.name];
      const signals = AbortSignal.any([signal, session.closed]);
      const request = { ...filterOf(wish), name: source.name };
      await using folder = await session.openFolder(request, { signal: signals });
      const synced = await syncKept(place, folder, { identity, wish, signal: signals });
      return indexed(synced, synced.release);
    }
    case "folder": {
      const identity = ["folder", source.path];
      await using folder = await openLocalFolder(source.path, filterOf(wish));
      const synced = await syncKept(place, folder, { identity, wish, signal });
      return indexed(synced, synced.release);
    }
    case "git": {
      const tree = await gitTree(place, gitSource(source.url), { signal });
      return { ...indexed(tree), materials: [tree.material] };
    }
    case "http": {
      const context = await httpContext(place, source.url, { signal, ...counted(wish) });
      return { ...indexed(context), materials: [context.material] };
    }
    case "oci-layout": {
      const platform = hostPlatform();
      const image = await loadLayout(place.engine.storage, source, { platform, signal });
      const layers = image.layers.map(({ diffId }) => diffId);
      for (const layer of layers) place.lease.add(layer);
      return { source: { kind: "root", root: { layers } }, release: async () => {} };
    }
    case "image": {
      if (!place.image) break;
      const root = await place.image(source.reference, { signal });
      return { source: { kind: "root", root }, release: async () => {} };
    }
  }
  throw new GantryError("not-implemented", `${source.kind} contexts are not supported yet`);
}

function filterOf({ include = [], exclude = [], followPaths = [] }: ContextWish) {
  return { include, exclude, followPaths };
}

interface SyncWish {
  identity: readonly string[];
  wish: ContextWish;
  signal: AbortSignal;
}

/** What the client's folder holds, of which only what changed is sent. */
async function syncKept(
  { store }: ContextPlace,
  folder: ClientFolder,
  { identity, wish, signal }: SyncWish,
): Promise<IndexedContext & { release: () => Promise<void> }> {
  const filter = JSON.stringify(filterOf(wish));
  const { kept, release } = await store.takeKept(identity, `local source for ${identity[1]}`);
  try {
    const synced = await syncFolder(kept, folder, { filter, signal, ...counted(wish) });
    const releaseBoth = async () => {
      await synced.release();
      await release();
    };
    const exclude = wish.exclude ?? [];
    const matcher = new IgnoreMatcher(readIgnoreFile(exclude.join("\n")));
    return { ...synced, ignored: (path) => matcher.ignores(path), release: releaseBoth };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Tells how much has come, in BuildKit's words. */
function counted({ name, vertex }: ContextWish) {
  if (!vertex) return {};
  const title = name === "" ? "transferring context:" : `transferring ${name}:`;
  let current = 0;
  const received = (bytes: number) => {
    current += bytes;
    vertex.status(title, { current, total: 0 });
  };
  return { received };
}
