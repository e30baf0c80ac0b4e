// Handlers of /containers/{id}/archive (docker cp): the stat of the path travels in a header.

import { createGzip } from "node:zlib";
import { GantryError } from "../../base/index.ts";
import type { EngineDoors, PathStat } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { empty, json } from "../reply.ts";

export const archiveHandlers = ({ containers }: EngineDoors) =>
  ({
    containerStatArchive: async ({ params, query, signal }) => {
      const stat = await containers.statPath(params.id!, pathOf(query), { signal });
      return empty(200, statHeader(stat));
    },

    containerGetArchive: async ({ params, query, headers, signal }) => {
      const { stat, tar } = await containers.archiveOut(params.id!, pathOf(query), { signal });
      const gzip = /\bgzip\b/.test(String(headers["accept-encoding"] ?? ""));
      const type = { "Content-Type": "application/x-tar", ...statHeader(stat) };
      if (!gzip) return { kind: "bytes", stream: tar, headers: type };
      const packed = createGzip({ level: 1 });
      tar.on("error", (error) => packed.destroy(error));
      packed.on("close", () => tar.destroy());
      tar.pipe(packed);
      return { kind: "bytes", stream: packed, headers: { ...type, "Content-Encoding": "gzip" } };
    },

    containerGlobArchive: async ({ params, query, signal }) => {
      const { pattern } = query;
      if (!pattern) throw new GantryError("invalid", "bad parameter: pattern cannot be empty");
      return json({ Matches: await containers.glob(params.id!, pattern, { signal }) });
    },

    containerPutArchive: async ({ params, query, body, signal }) => {
      const { noOverwriteDirNonDir, copyUIDGID: copyUidGid } = query;
      const options = { noOverwriteDirNonDir, copyUidGid, signal };
      await containers.archiveIn(params.id!, pathOf(query), body, options);
      return empty(200);
    },
  }) satisfies SomeHandlers;

function pathOf({ path }: { path: string | undefined }): string {
  if (path) return path;
  throw new GantryError("invalid", "bad parameter: path cannot be empty");
}

function statHeader(stat: PathStat): Record<string, string> {
  const text = Buffer.from(JSON.stringify(stat)).toString("base64");
  return { "X-Docker-Container-Path-Stat": text };
}
