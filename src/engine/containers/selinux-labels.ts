// SELinux labels of a container as the verbs need them: taken at a create; given to what is mounted
// in it (`:z`, `:Z`) and to its files of the network at a start.

import { createHash } from "node:crypto";
import { copyFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { initProgramPath } from "../../native/index.ts";
import type { EngineContext } from "../context.ts";
import { type LabelRecord, sharedLabel } from "../selinux/index.ts";
import { findNamed } from "./host-config.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";

/** Puts into the record, which is to be written at once, which labels it has. */
export function takeLabels(engine: EngineContext, c: ContainerRecord): void {
  const labels = engine.selinux.assign(c.hostConfig, {
    all: () => engine.containers.all(),
    find: (ref) => findNamed(engine, ref),
  });
  if (labels) c.selinux = labels;
}

/** A source that is mounted with `z` or `Z`, however often it has been before: files may have come
 * that have other labels. */
export async function relabelMount(
  engine: EngineContext,
  c: ContainerRecord,
  { Type, Mode, Source }: MountRecord,
): Promise<void> {
  const words = Mode.split(",");
  const shared = words.includes("z");
  if ((Type !== "bind" && Type !== "volume") || (!shared && !words.includes("Z"))) return;
  await relabel(engine, c, Source, shared);
}

/** A volume that is the container's own, and may become others' by --volumes-from. */
export const relabelShared = (engine: EngineContext, c: ContainerRecord, path: string) =>
  relabel(engine, c, path, true);

/** Those that it shares with another container's network are that one's too. */
export async function labelFiles(
  engine: EngineContext,
  c: ContainerRecord,
  files: { hostname: string; hosts: string; resolvConf: string },
): Promise<void> {
  if (!c.selinux) return;
  const shared = c.hostConfig.NetworkMode?.startsWith("container:") === true;
  const { hostname, hosts, resolvConf } = files;
  const paths = [...new Set([hostname, hosts, resolvConf])].filter((path) => path !== "");
  await engine.selinux.label(engine.native, paths, { label: c.selinux.mount, shared });
}

const isAsked = ({ options }: EngineContext, { hostConfig }: ContainerRecord): boolean =>
  hostConfig.Init ?? options.defaults.init;

const hostInit = ({ options }: EngineContext): string =>
  options.defaults.initPath ?? initProgramPath;

/** One for each label of files: a container may have asked for another type. */
function labelledInit({ options }: EngineContext, { mount }: LabelRecord): string {
  const name = createHash("sha256").update(sharedLabel(mount)).digest("hex").slice(0, 16);
  return join(options.execRoot, `init-of-containers-${name}`);
}

/** The program that --init puts before a command. */
export const initPathFor = (engine: EngineContext, c: ContainerRecord): string =>
  c.selinux?.process ? labelledInit(engine, c.selinux) : hostInit(engine);

/** Labelled processes begin in files of containers only: for them there is a copy, which all have
 * and none may write. */
export async function labelInit(engine: EngineContext, c: ContainerRecord): Promise<void> {
  if (!c.selinux?.process || !isAsked(engine, c)) return;
  const path = labelledInit(engine, c.selinux);
  const copy = `${path}.${c.id}`;
  try {
    await copyFile(hostInit(engine), copy);
    await engine.selinux.label(engine.native, [copy], { label: c.selinux.mount, shared: true });
    await rename(copy, path);
  } finally {
    await rm(copy, { force: true });
  }
}

async function relabel(
  { selinux, native, options }: EngineContext,
  c: ContainerRecord,
  path: string,
  shared: boolean,
): Promise<void> {
  const label = c.selinux?.mount ?? "";
  await selinux.relabel(native, path, {
    label,
    shared,
    keep: [options.dataRoot, options.execRoot],
  });
}
