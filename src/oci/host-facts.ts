// What only the host can tell before a plan is made: the maps of a user namespace that is joined,
// interfaces that are moved, and whether a namespace that is joined is the host's own, in which a
// container must not change anything.

import { stat } from "node:fs/promises";
import { GantryError } from "../base/index.ts";
import {
  type NetDevice,
  netDeviceNames,
  netDeviceQuery,
  parseIdMap,
  readNetDevice,
} from "../runtime/index.ts";
import type { OciIdMapping, OciSpec } from "../spec/index.ts";
import type { Caller } from "./caller.ts";

type Runner = Pick<Caller, "run">;

const NSFS_MAGIC = 0x6e736673;
const SLOT = 0;

export interface HostFacts {
  netDevices?: readonly NetDevice[];
}

/** Completes the configuration by what is found. Throws invalid where it asks for what would be
 * the host's. */
export async function hostFacts(caller: Runner, spec: OciSpec): Promise<HostFacts> {
  await checkHostNamespaces(spec);
  const user = joined(spec, "user");
  if (user) await takeMaps(caller, spec, user);
  const names = netDeviceNames(spec.linux);
  if (names.size === 0) return {};
  const network = joined(spec, "network");
  const netDevices: NetDevice[] = [];
  for (const [from, to] of names) {
    if (network) await checkFree(caller, network, to);
    netDevices.push(await netDevice(caller, from, to));
  }
  return { netDevices };
}

const joined = ({ linux }: OciSpec, type: string): string | undefined =>
  linux?.namespaces?.find((one) => one.type === type)?.path || undefined;

const invalid = (message: string) => new GantryError("invalid", message);

async function checkHostNamespaces(spec: OciSpec): Promise<void> {
  const sysctl = (pattern: RegExp) =>
    Object.keys(spec.linux?.sysctl ?? {}).find((key) => pattern.test(key));
  if (await isOwn(joined(spec, "mount"), "mnt")) {
    throw invalid("the host's mount namespace cannot be a container's: its root would change");
  }
  const names = spec.hostname ? "hostname" : spec.domainname ? "domainname" : undefined;
  if (names && (await isOwn(joined(spec, "uts"), "uts"))) {
    throw invalid(`unable to set ${names} without a private UTS namespace`);
  }
  const net = sysctl(/^net[./]/);
  if (net && (await isOwn(joined(spec, "network"), "net"))) {
    throw invalid(`sysctl ${JSON.stringify(net)} not allowed in host network namespace`);
  }
  const ipc = sysctl(/^(kernel[./](msg|sem|shm)|fs[./]mqueue[./])/);
  if (ipc && (await isOwn(joined(spec, "ipc"), "ipc"))) {
    throw invalid(`sysctl ${JSON.stringify(ipc)} is not allowed in the hosts ipc namespace`);
  }
}

async function isOwn(path: string | undefined, kind: string): Promise<boolean> {
  if (path === undefined) return false;
  const there = await stat(path).catch(() => undefined);
  for (const own of [`/proc/self/ns/${kind}`, `/proc/1/ns/${kind}`]) {
    const { dev, ino } = (await stat(own).catch(() => undefined)) ?? {};
    if (there && there.dev === dev && there.ino === ino) return true;
  }
  return false;
}

/** Maps of a namespace that exists can only be what they are. */
async function takeMaps(caller: Runner, spec: OciSpec, path: string): Promise<void> {
  const results = await caller.run({
    host: [
      { op: "open", path, flags: 0, to: SLOT },
      { op: "assertFilesystem", slot: SLOT, magic: NSFS_MAGIC },
      { op: "usernsMaps", slot: SLOT },
    ],
  });
  const [uids = "", gids = ""] = Buffer.from(results.bytes(2)).toString("latin1").split("\0");
  const linux = spec.linux!;
  const take = (given: OciIdMapping[] | undefined, text: string, what: string) => {
    const found = parseIdMap(text);
    if (given?.length && idText(given) !== idText(found)) {
      throw invalid(`${what} are not those of the user namespace ${path}`);
    }
    return found;
  };
  linux.uidMappings = take(linux.uidMappings, uids, "uidMappings");
  linux.gidMappings = take(linux.gidMappings, gids, "gidMappings");
}

const idText = (mappings: readonly OciIdMapping[]): string =>
  mappings
    .map((m) => `${m.containerID} ${m.hostID} ${m.size}`)
    .sort()
    .join();

async function netDevice(caller: Runner, from: string, to: string): Promise<NetDevice> {
  try {
    const results = await caller.run({ host: netDeviceQuery(from) });
    return readNetDevice(
      to,
      results.bytes(0),
      results.has(1) ? results.bytes(1) : new Uint8Array(),
    );
  } catch (cause) {
    if (errnoOf(cause) !== "ENODEV") throw cause;
    throw invalid(`network device ${JSON.stringify(from)} does not exist`);
  }
}

/** A move would succeed and leave the device with its old name. */
async function checkFree(caller: Runner, path: string, name: string): Promise<void> {
  if (name.includes("%")) return;
  try {
    await caller.run({
      host: [
        { op: "open", path, flags: 0, to: SLOT },
        { op: "interfaceIndex", name, netns: SLOT, to: SLOT + 1 },
      ],
    });
  } catch (error) {
    if (errnoOf(error) === "ENODEV") return;
    throw error;
  }
  throw invalid(
    `a network device ${JSON.stringify(name)} is already in the container's network namespace`,
  );
}

const errnoOf = (error: unknown): string | undefined =>
  error instanceof GantryError
    ? (error.detail as { errno?: string } | undefined)?.errno
    : undefined;
