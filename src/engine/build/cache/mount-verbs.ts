// Cache mounts as their users see them: what BuildKit's users have asked for since 2020.

import { pipeline, Readable } from "node:stream";
import { createZstdCompress } from "node:zlib";
import { GantryError, parallelGzip } from "../../../base/index.ts";
import type { CacheMounts } from "../cache-mounts.ts";
import type { BuildCacheMounts } from "../contract.ts";

const CHUNK_BYTES = 256 * 1024;
const plain = (tar: Readable): Readable => tar;
const packers: Record<string, (tar: Readable) => Readable> = {
  "": plain,
  none: plain,
  gzip: (tar) => Readable.from(parallelGzip(tar), { objectMode: false }),
  zstd: (tar) => pipeline(tar, createZstdCompress({ chunkSize: CHUNK_BYTES }), () => {}),
};

export function cacheMountVerbs(mounts: CacheMounts): BuildCacheMounts {
  return {
    list: async () =>
      (await mounts.list()).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    find: (wanted) => mounts.find(wanted),
    export: async (wanted, { compression = "", signal } = {}) => {
      const pack = packers[compression];
      if (!pack) {
        const message = `compression ${compression}: none, gzip or zstd is expected`;
        throw new GantryError("invalid", message);
      }
      return pack(await mounts.export(wanted, signal ? { signal } : {}));
    },
    import: (name, tar, o) => mounts.import(name, tar, o),
    remove: async (wanted) => {
      const { key, name, size } = await mounts.find(wanted);
      if (await mounts.remove(key)) return { spaceReclaimed: size };
      throw new GantryError("conflict", `the cache mount ${name} is in use`);
    },
  };
}
