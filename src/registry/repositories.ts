// The names of all repositories in order, read from the store's folders as far as they are asked
// for: a page costs the folders that it shows, not all there are.

import type { ObjectStore } from "./contract.ts";
import { repositoriesFolder } from "./storage-paths.ts";

/** Names in code unit order, those after `after`. A name and what lies beneath it are apart in that
 * order ("a", "a-b", "a/b"), so what waits to be looked at is a sorted list of both. */
export async function* repositoryNames(store: ObjectStore, after = ""): AsyncIterable<string> {
  // "name" stands for the repository itself, "name/" for what is beneath it.
  const waiting: string[] = [""];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const isFolder = next === "" || next.endsWith("/");
    if (!isFolder) {
      if (next > after && (await isRepository(store, next))) yield next;
      continue;
    }
    if (next !== "" && next < after && !after.startsWith(next)) continue;
    const folder = next === "" ? repositoriesFolder : `${repositoriesFolder}/${next.slice(0, -1)}`;
    const children: string[] = [];
    for (const child of await store.list(folder)) {
      if (!child.endsWith("/") || child.startsWith("_")) continue;
      children.push(next + child.slice(0, -1), next + child);
    }
    if (children.length > 0) {
      waiting.push(...children);
      waiting.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    }
  }
}

/** Whether something was ever pushed there and is not gone. */
export async function isRepository(store: ObjectStore, name: string): Promise<boolean> {
  const names = await store.list(`${repositoriesFolder}/${name}`);
  return names.includes("_manifests/") || names.includes("_layers/");
}
