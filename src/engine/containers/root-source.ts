// Where the files of a container are: in its process while it runs, else in its layers with its
// volumes mounted for the call (see storage's RootFiles for how nothing can lead outside).

import { stat } from "node:fs/promises";
import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";

/** With `volumes`, what is mounted in a stopped container is there too. */
export async function rootSource(
  engine: EngineContext,
  c: ContainerRecord,
  { volumes }: { volumes: boolean },
): Promise<RootSource> {
  if (c.run) return { kind: "process", pid: c.run.pid };
  const rootfs = await engine.storage.snapshots.renew(c.id);
  if (!volumes) return { kind: "mount", rootfs };
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
