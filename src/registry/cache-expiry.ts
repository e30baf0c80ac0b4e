// What the cache forgets: links of manifests and blobs that nobody has asked for in a while, and
// the tags that named such manifests. A look at a link makes it young again (presence.ts), so its
// age is the time since the last use. Who asks for what has just been removed fetches it again.

import { upstreamPlace } from "./cache-names.ts";
import type { CacheUpstream } from "./cache-options.ts";
import type { ObjectStore } from "./contract.ts";
import {
  kindOfPath,
  repositoriesFolder,
  repositoryFolder,
  revisionLink,
  tagFolder,
  tagLink,
} from "./storage-paths.ts";

export async function expireUnused(
  store: ObjectStore,
  { upstreams, before }: { upstreams: readonly CacheUpstream[]; before: Date },
): Promise<number> {
  let removed = 0;
  const tags: { name: string; tag: string }[] = [];
  for (const folder of foldersOf(upstreams)) {
    for await (const { path, modifiedAt } of store.walk(folder)) {
      const found = kindOfPath(path);
      if (found === undefined || !("name" in found)) continue;
      if (upstreamPlace(upstreams, found.name) === undefined) continue;
      if (found.kind === "tag") tags.push({ name: found.name, tag: found.tag });
      if (found.kind !== "layer" && found.kind !== "revision") continue;
      if (modifiedAt >= before) continue;
      await store.remove(path);
      removed++;
    }
  }
  for (const { name, tag } of tags) {
    const digest = await store.read(tagLink(name, tag)).catch(() => undefined);
    if (digest === undefined) continue;
    const link = revisionLink(name, digest.toString("latin1").trim());
    if ((await store.stat(link)) !== undefined) continue;
    await store.removeAll(tagFolder(name, tag));
    removed++;
  }
  return removed;
}

/** Folders that hold all repositories of upstreams, none within another. */
function foldersOf(upstreams: readonly CacheUpstream[]): string[] {
  const folders = upstreams.map(({ prefix }) =>
    prefix === "" ? repositoriesFolder : repositoryFolder(prefix),
  );
  return folders.filter(
    (folder, at) =>
      !folders.some((other, i) => i !== at && folder.startsWith(`${other}/`)) &&
      folders.indexOf(folder) === at,
  );
}
