// Cache mounts as their users see them: what BuildKit's users have asked for since 2020.

import { GantryError } from "../../../base/index.ts";
import type { CacheMounts } from "../cache-mounts.ts";
import type { BuildCacheMounts } from "../contract.ts";

export function cacheMountVerbs(mounts: CacheMounts): BuildCacheMounts {
  return {
    list: async () =>
      (await mounts.list()).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    find: (wanted) => mounts.find(wanted),
    export: (wanted, o) => mounts.export(wanted, o),
    import: (name, tar, o) => mounts.import(name, tar, o),
    remove: async (wanted) => {
      const { key, name, size } = await mounts.find(wanted);
      if (await mounts.remove(key)) return { spaceReclaimed: size };
      throw new GantryError("conflict", `the cache mount ${name} is in use`);
    },
  };
}
