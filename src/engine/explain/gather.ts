// Gathers what the plan of a container is made of, without making or taking anything: the plan
// itself comes from the same function as that of a start.

import { GantryError } from "../../base/index.ts";
import type { PlannedCreate } from "../../runtime/index.ts";
import type { OciSpec, RootfsMount } from "../../spec/index.ts";
import { type Accounts, accountsOfLayers, readAccounts } from "../containers/accounts.ts";
import { containerOf } from "../containers/host-config.ts";
import { imagePreview } from "../containers/image-mounts.ts";
import { type JoinedNamespaces, joinedNamespaces, planLaunch } from "../containers/launch.ts";
import { type PreparedMount, prepareMounts } from "../containers/mount-sources.ts";
import { type AttachedNetworks, previewNetworks } from "../containers/networking.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { mappedRoot } from "../containers/user-namespace.ts";
import type { EngineContext } from "../context.ts";
import { requestedDevices } from "../devices/index.ts";

export interface GatheredPlan {
  spec: OciSpec;
  planned: PlannedCreate;
  attached: AttachedNetworks;
  warnings: string[];
}

/** `made`: the container exists, with its snapshot. */
export async function gatherPlan(
  engine: EngineContext,
  c: ContainerRecord,
  { made }: { made: boolean },
): Promise<GatheredPlan> {
  const warnings: string[] = [];
  const note = (error: unknown) => {
    if (!(error instanceof GantryError)) throw error;
    warnings.push(error.message);
  };
  const attempt = async <T>(work: () => T | Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      note(error);
      return otherwise;
    }
  };
  const { snapshots } = engine.storage;
  const existing = made ? snapshots.get(c.id) : undefined;
  const rootfs = mappedRoot(c, existing ?? previewRoot(engine, c));
  const accounts: Accounts = existing
    ? await readAccounts(engine, c)
    : await attempt(() => accountsOfLayers(engine, c.diffIds), NO_ACCOUNTS);
  const joined = await attempt<JoinedNamespaces>(() => joinedNamespaces(engine, c), {});
  const attached = c.run
    ? { records: c.run.attachments, attachments: [] }
    : await attempt<AttachedNetworks>(() => previewNetworks(engine, c), NO_NETWORKS);
  const mounts = existing
    ? await attempt<readonly PreparedMount[]>(() => prepareMounts(engine, c, accounts), c.mounts)
    : c.mounts.map((mount) => previewMount(engine, c, mount));
  const files = filesOf(engine, c);
  const devices = await attempt(() => requestedDevices(engine, c.hostConfig), []);
  const facts = { joined, files, accounts, rootfs, mounts, devices, attached, holdMs: 0 };
  return { ...planLaunch(engine, c, facts), attached, warnings };
}

const NO_ACCOUNTS: Accounts = { passwd: "", group: "" };
const NO_NETWORKS: AttachedNetworks = { records: [], attachments: [] };

/** Layers that are not here stand where a pull would put them. */
function previewRoot(engine: EngineContext, c: ContainerRecord): RootfsMount {
  const { snapshots, layers } = engine.storage;
  const o = { volatile: c.hostConfig.AutoRemove === true };
  if (c.diffIds.every((diffId) => layers.get(diffId))) {
    return snapshots.preview(c.id, c.diffIds, o);
  }
  const bare = snapshots.preview(c.id, [], o);
  const folders = c.diffIds
    .toReversed()
    .map((diffId) => layers.get(diffId)?.dir ?? "(to be pulled)");
  return bare.kind === "overlay" ? { ...bare, lowerDirs: [...bare.lowerDirs, ...folders] } : bare;
}

function filesOf(engine: EngineContext, c: ContainerRecord) {
  const shared = containerOf(c.hostConfig.NetworkMode);
  const id = shared === undefined ? c.id : engine.containers.find(shared).id;
  return engine.paths.container(id);
}

/** Volumes and layers that a create would make stand where they would be. */
function previewMount(
  engine: EngineContext,
  c: ContainerRecord,
  mount: PreparedMount,
): PreparedMount {
  if (mount.Type === "image") {
    return { ...mount, layers: mappedRoot(c, imagePreview(engine, mount)) };
  }
  if (mount.Type !== "volume") return mount;
  const name = mount.Name || "RANDOM-NAME";
  const idMaps = c.userns && { uid: [...c.userns.uid], gid: [...c.userns.gid] };
  const Source = engine.paths.volumeData(name);
  return { ...mount, Name: name, Source, ...(idMaps && { idMaps }) };
}
