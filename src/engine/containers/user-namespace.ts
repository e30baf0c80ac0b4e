// The user namespace of a container as the verbs need it: taken at a create, told to the planners
// at a start, an exec and a copy.

import { GantryError, messageOf } from "../../base/index.ts";
import type { HostConfig, IdMaps, OciIdMapping, RootfsMount } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { compose, outside } from "../userns/index.ts";
import type { ContainerRecord } from "./record.ts";

const BUILTIN = ["", "runc", "io.containerd.runc.v2"];

/** `--security-opt userns=MODE`: docker's own client lets no other mode than "host" through. */
export function usernsOption({ SecurityOpt, UsernsMode = "" }: HostConfig): string {
  const asked = (SecurityOpt ?? []).flatMap((one) => /^userns[=:]([\s\S]*)$/.exec(one)?.[1] ?? []);
  const [mode = UsernsMode, ...others] = UsernsMode === "" ? asked : [UsernsMode, ...asked];
  if (others.every((other) => other === mode)) return mode;
  throw new GantryError(
    "invalid",
    `conflicting options: user namespace modes ${[mode, ...others].join(" and ")}`,
  );
}

/** What a create refuses, in dockerd's words. */
export function checkUserns(engine: EngineContext, host: HostConfig): void {
  const { Runtime = "" } = host;
  if (!engine.userns.isWanted(host, holders(engine)) || BUILTIN.includes(Runtime)) return;
  throw new GantryError(
    "not-implemented",
    `runtime ${Runtime}: user namespaces are for containers of the built-in runtime; use ` +
      "--userns=host",
  );
}

/** Puts into the record, which is to be written at once, which namespace it has. */
export function takeUserns(engine: EngineContext, c: ContainerRecord): void {
  const userns = engine.userns.assign(c.hostConfig, holders(engine));
  if (userns) c.userns = userns;
}

/** For a step of a build; returns what gives it back. */
export function holdUserns(engine: EngineContext, c: ContainerRecord): () => void {
  const { userns, release } = engine.userns.hold(c.id, c.hostConfig, holders(engine));
  if (userns) c.userns = userns;
  return release;
}

function holders({ containers }: EngineContext) {
  return {
    all: () => containers.all(),
    find: (ref: string) => {
      try {
        return containers.find(ref);
      } catch (cause) {
        // "not-found" would make the docker CLI pull the image.
        throw new GantryError("invalid", messageOf(cause), { cause });
      }
    },
  };
}

/** The layers as the container is to see them. */
export function mappedRoot<R extends RootfsMount>(c: ContainerRecord, rootfs: R): R {
  if ((!c.userns && !c.selinux) || rootfs.kind !== "overlay") return rootfs;
  const idMaps = c.userns && { uid: c.userns.uid, gid: c.userns.gid };
  const mountLabel = c.selinux?.mount;
  return { ...rootfs, ...(idMaps && { idMaps }), ...(mountLabel && { mountLabel }) };
}

/** From ids on the disk to ids on the host, through those that the container is to see. */
export function throughUserns(
  { userns }: ContainerRecord,
  seen: { uid: OciIdMapping[]; gid: OciIdMapping[] },
): { uid: OciIdMapping[]; gid: OciIdMapping[] } {
  if (!userns) return seen;
  return { uid: compose(seen.uid, userns.uid), gid: compose(seen.gid, userns.gid) };
}

/** On the host, for what is given to a user of the container. */
export function hostUid(userns: IdMaps | undefined, uid: number): number {
  return userns ? (outside(userns.uid, uid) ?? uid) : uid;
}
