// Where the files of a container are: in its process while it runs, else in its layers with its
// volumes mounted for the call (see storage's RootFiles for how nothing can lead outside).

import { stat } from "node:fs/promises";
import { GantryError } from "../../base/index.ts";
import type { RootSource, VolumeSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";

let calls = 0;

/** A root to look into until it is released. What is mounted in the container is there whether it
 * runs or not, but for tmpfs, which is only while it runs. */
export interface OpenRoot {
  source: RootSource;
  release(): Promise<void>;
}

/** `held`: the caller holds the container's transition. */
export async function openRoot(
  engine: EngineContext,
  c: ContainerRecord,
  { held: locked = false }: { held?: boolean } = {},
): Promise<OpenRoot> {
  if (c.run) {
    const { pid, startTicks } = c.run;
    const userns = c.userns !== undefined;
    const source = { kind: "process", pid, startTicks: BigInt(startTicks), userns } as const;
    return { source, release: async () => {} };
  }
  if (c.dead) throw new GantryError("conflict", `Container ${c.id} is dead`);
  const rootfs = await engine.storage.snapshots.renew(c.id);
  const user = `cp ${++calls}`;
  const held: string[] = [];
  const release = async () => {
    for (const name of held.splice(0)) await engine.volumes.mounts.release(name, user);
  };
  try {
    const volumes: VolumeSource[] = [];
    for (const mount of c.mounts) {
      if (mount.Type === "volume" && mount.Name) {
        await engine.volumes.mounts.acquire(engine.volumes.find(mount.Name), user);
        held.push(mount.Name);
        mount.Source = engine.volumes.pathOf(mount.Name);
      }
      const volume = await volumeOf(mount);
      if (volume) volumes.push(volume);
    }
    // Parents before what is mounted inside them.
    volumes.sort((a, b) => a.target.length - b.target.length);
    const readOnly = c.hostConfig.ReadonlyRootfs === true;
    const source = { kind: "mount", rootfs, volumes, readOnly } as const;
    // Nothing has made them yet in a container that was never started. One writes at a time.
    if (volumes.length > 0 && !wasStarted(c)) {
      const make = () => engine.files.makeMountPoints(source);
      await (locked ? make() : engine.transitions.run(c.id, make));
    }
    return { source, release };
  } catch (error) {
    await release();
    throw error;
  }
}

const wasStarted = (c: ContainerRecord): boolean => !c.startedAt.startsWith("0001-");

async function volumeOf(mount: MountRecord): Promise<VolumeSource | undefined> {
  if (mount.Type !== "volume" && mount.Type !== "bind") return undefined;
  const found = await stat(mount.Source).catch(() => undefined);
  if (!found) return undefined;
  const subpath = mount.request?.VolumeOptions?.Subpath;
  return {
    source: mount.Source,
    target: mount.Destination,
    readOnly: !mount.RW,
    ...(subpath && { subpath }),
  };
}
