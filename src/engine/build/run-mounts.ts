// RUN --mount: what a step sees beside its own files. Folders of contexts and other file systems
// are the lower layer of an overlay of their own, so that what is written there is gone afterwards
// and a link in them stays inside; what the mount points left in the step's own files is removed.

import { lstat, writeFile } from "node:fs/promises";
import { join } from "node:path/posix";
import { GantryError, type Rollback } from "../../base/index.ts";
import { type Root, type RunRequest, rootKey } from "../../build/index.ts";
import type { RootfsMount } from "../../spec/index.ts";
import type { MountRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { CacheMountSeed, CacheMounts } from "./cache-mounts.ts";
import { agentTarget, type Gift, giveAgent, giveSecret } from "./run-session.ts";
import type { BuildSession } from "./session.ts";
import type { Workspace } from "./workspace.ts";

export interface MountPlace {
  engine: EngineContext;
  workspace: Workspace;
  cacheMounts: CacheMounts;
  /** Whose secrets and agents steps may ask for; undefined: nobody's. */
  session?: BuildSession | undefined;
}
type Overlay = Extract<RootfsMount, { kind: "overlay" }>;
type StepMount = MountRecord & { layers?: Overlay };
type Wanted = RunRequest["mounts"][number];
type FolderMount = Exclude<Wanted["mount"], { type: "secret" } | { type: "ssh" }>;

const SCRIPT_MODE = 0o755;
/** What every container gets to see in the place of its own. */
const NETWORK_FILES = ["/etc/hosts", "/etc/resolv.conf"];

/** What a step is given: its mounts, and variables that are in no key and no history. */
export interface Given {
  mounts: StepMount[];
  env: string[];
}

/** The mounts of a step; what they take is released by `undo`. */
export async function stepMounts(
  place: MountPlace,
  request: RunRequest,
  undo: Rollback,
  signal: AbortSignal,
): Promise<Given> {
  const given: Given = { mounts: [], env: [] };
  let agents = 0;
  for (const wanted of request.mounts) {
    const { mount } = wanted;
    if (mount.type === "secret") {
      receive(given, await giveSecret(place, mount, { undo, signal }));
    } else if (mount.type === "ssh") {
      const target = mount.target ?? agentTarget(agents);
      // The first one's, there or not, as BuildKit sets it; the step's own variable wins.
      if (agents++ === 0 && !request.env.some((entry) => entry.startsWith("SSH_AUTH_SOCK="))) {
        given.env.push(`SSH_AUTH_SOCK=${target}`);
      }
      receive(given, await giveAgent(place, { ...mount, target }, { undo, signal }));
    } else given.mounts.push(await mountOf(place, { ...wanted, mount }, undo, signal));
  }
  if (request.script) {
    const { path, content } = request.script;
    const file = join(await place.workspace.scratch(), "script");
    await writeFile(file, content, { mode: SCRIPT_MODE });
    given.mounts.push(bind(path, file, false));
  }
  return given;
}

function receive({ mounts, env }: Given, gift: Gift | undefined): void {
  if (gift?.env !== undefined) env.push(gift.env);
  if (gift?.mount) mounts.push(bind(gift.mount.target, gift.mount.source, false));
}

async function mountOf(
  place: MountPlace,
  { mount, from }: Wanted & { mount: FolderMount },
  undo: Rollback,
  signal: AbortSignal,
): Promise<StepMount> {
  switch (mount.type) {
    case "bind": {
      const layers = await overlayOf(place, from, signal);
      const record = bind(mount.target, layers.upperDir, !mount.readOnly);
      return { ...record, layers, ...subpath(mount.target, mount.source) };
    }
    case "tmpfs": {
      const { target, sizeBytes } = mount;
      const request = {
        ...({ Type: "tmpfs", Target: target } as const),
        ...(sizeBytes && { TmpfsOptions: { SizeBytes: sizeBytes } }),
      };
      return { ...bind(target, "", !mount.readOnly), Type: "tmpfs", request };
    }
    case "cache": {
      const { mode, uid, gid, sharing, target, source } = mount;
      const seed = mount.from === undefined ? undefined : seedOf(place, from, source);
      const id = mount.id ?? target;
      const owner = {
        ...(mode !== undefined && { mode }),
        ...(uid !== undefined && { uid }),
        ...(gid !== undefined && { gid }),
      };
      const wish = { id, sharing, ...owner, ...(seed && { seed }) };
      const { path, release } = await place.cacheMounts.take(wish, signal);
      undo.defer("cache mount", release);
      // With `from`, the source is the folder there that the mount begins with.
      return { ...bind(target, path, !mount.readOnly), ...subpath(target, seed ? "" : source) };
    }
  }
}

function seedOf({ workspace }: MountPlace, from: Wanted["from"], path: string): CacheMountSeed {
  const content = from.kind === "root" ? rootKey(from.root) : `context ${from.name}`;
  const source = workspace.source(from);
  return { key: `${content} ${path}`, source, path: join("/", path) };
}

function bind(target: string, source: string, writable: boolean): MountRecord {
  return {
    ...{ Type: "bind", Source: source, Destination: target, Mode: "", RW: writable },
    Propagation: "rprivate",
  };
}

/** Resolved beneath what is mounted, not on the host. */
function subpath(target: string, path: string): Pick<MountRecord, "request"> | object {
  const inside = join("/", path).slice(1);
  if (inside === "") return {};
  return { request: { Type: "image", Target: target, ImageOptions: { Subpath: inside } } };
}

async function overlayOf(
  { workspace }: MountPlace,
  from: Wanted["from"],
  signal: AbortSignal,
): Promise<Overlay> {
  const source = await workspace.mountable(from, { signal });
  if (source.kind !== "mount") throw new GantryError("internal", "a source is a folder");
  const dir = await workspace.scratch();
  const name = dir.slice(workspace.dir.length + 1);
  const upperDir = await workspace.folder(join(name, "fs"));
  const workDir = await workspace.folder(join(name, "work"));
  const { rootfs } = source;
  const lowerDirs = rootfs.kind === "bind" ? [rootfs.path] : [rootfs.upperDir, ...rootfs.lowerDirs];
  return { kind: "overlay", lowerDirs, upperDir, workDir, volatile: true };
}

/** Removes what was made in the step's files only to mount on: `paths`, deepest first, and the
 * files of the network. Those that hold something by now stay. */
export async function removeMountPoints(
  place: MountPlace,
  root: Root,
  upperDir: string,
  paths: readonly string[],
): Promise<void> {
  const { files, storage } = place.engine;
  const made = [...paths, ...(await emptyNetworkFiles(upperDir))];
  await files.dropPoints(upperDir, storage.snapshots.lowerDirs(root.layers), made);
}

/** They are mounted in every step, which cannot have written what lies beneath. */
async function emptyNetworkFiles(upperDir: string): Promise<string[]> {
  const folder = await lstat(join(upperDir, "etc")).catch(() => undefined);
  if (!folder?.isDirectory()) return [];
  const found = NETWORK_FILES.map(async (path) => {
    const stat = await lstat(join(upperDir, path)).catch(() => undefined);
    return stat?.isFile() && stat.size === 0 ? path : [];
  });
  return (await Promise.all(found)).flat();
}
