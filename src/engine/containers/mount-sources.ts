// What must be known of a container's mounts when it starts, beyond its record: whether the host's
// mounts allow the propagation that was asked for, whose files an id-mapped mount shows, and of
// which layers an image mount is made.

import { readFile, realpath, stat } from "node:fs/promises";
import { GantryError } from "../../base/index.ts";
import { type MountInfo, parseMountinfo } from "../../runtime/index.ts";
import type { OciIdMapping } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { touches } from "./daemon-root.ts";
import { type ImageLayers, imageRoot } from "./image-mounts.ts";
import { NO_MAP } from "./mount-points.ts";
import { checkSubpath } from "./mounts.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";
import { resolveUser } from "./resolve-user.ts";
import { mappedRoot, throughUserns } from "./user-namespace.ts";

/** A mount with what the host was asked. */
export interface PreparedMount extends MountRecord {
  idMaps?: { uid: OciIdMapping[]; gid: OciIdMapping[] };
  layers?: ImageLayers;
}

const ID_COUNT = 2 ** 32 - 1;

export async function prepareMounts(
  engine: EngineContext,
  c: ContainerRecord,
  accounts: { passwd: string; group: string },
): Promise<PreparedMount[]> {
  if (!c.userns && c.mounts.every(isPlain)) return c.mounts;
  const user = () => resolveUser(c.config.User ?? "", accounts);
  return await Promise.all(
    c.mounts.map(async (mount, index): Promise<PreparedMount> => {
      const subpath = mount.request?.VolumeOptions?.Subpath;
      if (mount.Type === "volume" && subpath) await checkSubpath(engine, mount.Source, subpath);
      if (mount.Type === "image") {
        return { ...mount, layers: mappedRoot(c, await imageRoot(engine, c, index)) };
      }
      const prepared: PreparedMount = { ...mount };
      if (prepared.layers) prepared.layers = mappedRoot(c, prepared.layers);
      if (mount.Type === "bind" && !/private$/.test(mount.Propagation)) {
        prepared.Propagation = await allowedPropagation(mount, engine.options.dataRoot);
      }
      const idMaps = await idMapsFor(c, mount, user);
      if (idMaps) prepared.idMaps = idMaps;
      return prepared;
    }),
  );
}

/** What Gantry itself keeps for a container (volumes, what steps of builds get) has the ids that
 * the container sees; a bind has the host's, unless it was asked for otherwise. */
async function idMapsFor(
  c: ContainerRecord,
  mount: MountRecord,
  user: () => { uid: number; gid: number },
): Promise<PreparedMount["idMaps"]> {
  if (mount.idmap === NO_MAP || mount.Type === "tmpfs" || "layers" in mount) return undefined;
  if (mount.idmap !== undefined) return throughUserns(c, await idMapsOf(mount, mount.idmap, user));
  const isOurs = mount.Type === "volume" || c.isBuildStep === true;
  return c.userns && isOurs ? { uid: [...c.userns.uid], gid: [...c.userns.gid] } : undefined;
}

const isPlain = (mount: MountRecord): boolean =>
  mount.Type !== "image" &&
  (mount.idmap === undefined || mount.idmap === NO_MAP) &&
  !mount.request?.VolumeOptions?.Subpath &&
  (mount.Type !== "bind" || /private$/.test(mount.Propagation));

/** Throws invalid in dockerd's words where the source's mount does not pass mounts on. */
async function allowedPropagation(mount: MountRecord, dataRoot: string): Promise<string> {
  const { Source: path, Propagation: wanted } = mount;
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  const found = mountOf(mounts, await realpath(path));
  const at = found?.path ?? "/";
  const has = (kind: string) => found?.tags.some((tag) => tag.startsWith(kind)) === true;
  if (wanted.endsWith("shared")) {
    if (has("shared:")) return wanted;
    throw new GantryError(
      "invalid",
      `path ${path} is mounted on ${at} but it is not a shared mount`,
    );
  }
  if (has("shared:") || has("master:")) return wanted;
  // Slave was our own idea there: see daemon-root.ts.
  if (touches(path, dataRoot)) return "rprivate";
  throw new GantryError(
    "invalid",
    `path ${path} is mounted on ${at} but it is not a shared or slave mount`,
  );
}

/** The mount that holds a path: the deepest, and of several at one place the last. */
export function mountOf(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  let found: MountInfo | undefined;
  for (const mount of mounts) {
    const holds = mount.path === "/" || path === mount.path || path.startsWith(`${mount.path}/`);
    if (holds && mount.path.length >= (found?.path.length ?? 0)) found = mount;
  }
  return found;
}

async function idMapsOf(
  mount: MountRecord,
  wanted: string,
  user: () => { uid: number; gid: number },
): Promise<NonNullable<PreparedMount["idMaps"]>> {
  const owner = await stat(mount.Source);
  const [uid, gid = uid] = wanted === "" ? [] : wanted.split(":").map(Number);
  const target = uid === undefined ? user() : { uid, gid: gid! };
  return { uid: shiftOne(owner.uid, target.uid), gid: shiftOne(owner.gid, target.gid) };
}

/** The map in which the id `disk` is seen as `seen` and every other as itself. The id that `seen`
 * was on the disk, and `disk` in the container, are nobody: were the two exchanged, a process of
 * the one could leave files of the other on the host, root's among them. */
export function shiftOne(disk: number, seen: number): OciIdMapping[] {
  if (disk === seen) return [{ containerID: 0, hostID: 0, size: ID_COUNT }];
  const [low, high] = disk < seen ? [disk, seen] : [seen, disk];
  const same = (from: number, to: number): OciIdMapping[] =>
    to > from ? [{ containerID: from, hostID: from, size: to - from }] : [];
  return [
    ...same(0, low),
    { containerID: disk, hostID: seen, size: 1 },
    ...same(low + 1, high),
    ...same(high + 1, ID_COUNT),
  ];
}
