// Where the files of a container are: in its process while it runs, else in its layers with its
// volumes mounted for the call (see storage's RootFiles for how nothing can lead outside).

import { stat } from "node:fs/promises";
import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";

/** What is mounted in the container is there in both cases. */
export async function rootSource(engine: EngineContext, c: ContainerRecord): Promise<RootSource> {
  if (c.run) return { kind: "process", pid: c.run.pid };
  const rootfs = await engine.storage.snapshots.renew(c.id);
  const present = await Promise.all(
    c.mounts.map(async (mount) => {
      if (mount.Type === "tmpfs") return [];
      const found = await stat(mount.Source).catch(() => undefined);
      if (!found) return [];
      return [{ source: mount.Source, target: mount.Destination, readOnly: !mount.RW }];
    }),
  );
  // Parents before what is mounted inside them.
  const mounts = present.flat().sort((a, b) => a.target.length - b.target.length);
  return { kind: "mount", rootfs, volumes: mounts };
}
