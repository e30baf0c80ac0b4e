// Handlers of cache mounts.

import type { CacheMountEntry, EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { json } from "../reply.ts";

const ID_DIGITS = 25;

export const cacheMountHandlers = ({ builds: { cacheMounts } }: EngineDoors) =>
  ({
    cacheMountList: async () => json((await cacheMounts.list()).map(render)),

    cacheMountInspect: async ({ params }) => json(render(await cacheMounts.find(params.id!))),

    cacheMountExport: async ({ params, query, signal }) => {
      const { compression = "" } = query;
      const stream = await cacheMounts.export(params.id!, { compression, signal });
      const type = { "": "x-tar", none: "x-tar", gzip: "gzip", zstd: "zstd" }[compression];
      return { kind: "bytes", stream, headers: { "Content-Type": `application/${type}` } };
    },

    cacheMountImport: async ({ params, body, signal }) =>
      json(render(await cacheMounts.import(params.id!, body, { signal })), 201),

    cacheMountDelete: async ({ params }) => {
      const { spaceReclaimed } = await cacheMounts.remove(params.id!);
      return json({ SpaceReclaimed: spaceReclaimed });
    },
  }) satisfies SomeHandlers;

function render({ key, name, size, inUse, ...facts }: CacheMountEntry) {
  return {
    ...{ ID: key.slice(0, ID_DIGITS), Name: name, Size: size, InUse: inUse },
    CreatedAt: new Date(facts.createdAtMs).toISOString(),
    LastUsedAt: new Date(facts.lastUsedAtMs).toISOString(),
    UsageCount: facts.usageCount,
  };
}
