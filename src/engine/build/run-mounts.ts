// RUN --mount: what a step sees beside its own files. Folders of contexts and other file systems
// are the lower layer of an overlay of their own, so that what is written there is gone afterwards
// and a link in them stays inside; what the mount points left in the step's own files is removed.

import { writeFile } from "node:fs/promises";
import { join } from "node:path/posix";
import { GantryError, type Rollback } from "../../base/index.ts";
import type { RunRequest } from "../../build/index.ts";
import type { RootfsMount } from "../../spec/index.ts";
import type { MountRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { CacheMounts } from "./cache-mounts.ts";
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

const SCRIPT_MODE = 0o755;

/** The mounts of a step; what they take is released by `undo`. */
export async function stepMounts(
  place: MountPlace,
  request: RunRequest,
  undo: Rollback,
  signal: AbortSignal,
): Promise<StepMount[]> {
  const mounts: StepMount[] = [];
  for (const wanted of request.mounts) {
    const mount = await mountOf(place, wanted, undo, signal);
    if (mount) mounts.push(mount);
  }
  if (request.script) {
    const { path, content } = request.script;
    const file = join(await place.workspace.scratch(), "script");
    await writeFile(file, content, { mode: SCRIPT_MODE });
    mounts.push(bind(path, file, false));
  }
  return mounts;
}

async function mountOf(
  place: MountPlace,
  { mount, from }: Wanted,
  undo: Rollback,
  signal: AbortSignal,
): Promise<StepMount | undefined> {
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
      if (mount.from !== undefined) {
        const what = "RUN --mount=type=cache,from=…";
        throw new GantryError("not-implemented", `${what} is not supported yet`);
      }
      const { mode, uid, gid, sharing, target, source } = mount;
      const id = mount.id ?? target;
      const owner = {
        ...(mode !== undefined && { mode }),
        ...(uid !== undefined && { uid }),
        ...(gid !== undefined && { gid }),
      };
      const { path, release } = await place.cacheMounts.take({ id, sharing, ...owner }, signal);
      undo.defer("cache mount", release);
      return { ...bind(target, path, !mount.readOnly), ...subpath(target, source) };
    }
    case "secret":
    case "ssh": {
      // Only a session brings any; those that are not required are then left out, as in BuildKit.
      if (!mount.required) return undefined;
      const what = mount.type === "ssh" ? `ssh agent ${mount.id}` : `secret ${mount.id}`;
      throw new GantryError("invalid", `${what}: not found`);
    }
  }
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

/** Removes the empty files and folders that were made to mount on; deepest first. Those that hold
 * something by now stay. */
export async function removeMountPoints(
  { engine }: MountPlace,
  upperDir: string,
  paths: readonly string[],
): Promise<void> {
  for (const path of paths) {
    const open = { op: "open", path: upperDir, flags: 0o10000000 | 0o200000, to: 0 } as const;
    const remove = async (op: "rmdir" | "unlink") =>
      await engine.native.run({ host: [open, { op, root: 0, path, missingOk: true }] }).then(
        () => true,
        () => false,
      );
    if (!(await remove("rmdir"))) await remove("unlink");
  }
}
