// Device nodes of the host, for --device, --privileged and block limits: the one part of making a
// spec that must look at the host. A few local stat calls.

import { readdirSync, type Stats, statSync } from "node:fs";
import { GantryError } from "../../base/index.ts";
import type { DeviceMapping, OciDevice, OciDeviceRule } from "../../spec/index.ts";

/** Device numbers as stat packs them (glibc's makedev). */
function split(rdev: number): { major: number; minor: number } {
  const device = BigInt(rdev);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** The node that `stats` tell of; undefined where it is no device. */
export function deviceNodeAt(path: string, stats: Stats): OciDevice | undefined {
  const type = stats.isCharacterDevice() ? "c" : stats.isBlockDevice() ? "b" : undefined;
  if (!type) return undefined;
  const { uid, gid } = stats;
  return { path, type, ...split(stats.rdev), fileMode: stats.mode & 0o7777, uid, gid };
}

/** Numbers of a block device, for limits of its input and output. */
export function blockDevice(path: string): { major: number; minor: number } {
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch (cause) {
    throw new GantryError("invalid", `no such file or directory: ${path}`, { cause });
  }
  if (!stats.isBlockDevice()) throw new GantryError("invalid", `${path} is not a block device`);
  return split(stats.rdev);
}

export interface DeviceGrant {
  nodes: OciDevice[];
  rules: OciDeviceRule[];
}

/** --device host[:container[:rwm]]; a folder stands for all devices in it. */
export function mappedDevices(mappings: readonly DeviceMapping[]): DeviceGrant {
  const grant: DeviceGrant = { nodes: [], rules: [] };
  for (const mapping of mappings) {
    const target = mapping.PathInContainer || mapping.PathOnHost;
    const access = mapping.CgroupPermissions || "rwm";
    if (!/^[rwm]{1,3}$/.test(access)) {
      throw new GantryError("invalid", `invalid device mode: ${access}`);
    }
    const nodes = collect(mapping.PathOnHost, target);
    grant.nodes.push(...nodes);
    for (const { type, major, minor } of nodes) {
      grant.rules.push({ allow: true, type, major: major ?? -1, minor: minor ?? -1, access });
    }
  }
  return grant;
}

function collect(source: string, target: string): OciDevice[] {
  const failed = (why: string, cause?: unknown) =>
    new GantryError(
      "invalid",
      `error gathering device information while adding custom device ${JSON.stringify(source)}: ${why}`,
      { cause },
    );
  let stats: Stats;
  try {
    stats = statSync(source);
  } catch (cause) {
    throw failed("no such file or directory", cause);
  }
  const node = deviceNodeAt(target, stats);
  if (node) return [node];
  const nodes = stats.isDirectory() ? walk(source, target) : [];
  if (nodes.length === 0) throw failed("not a device node");
  return nodes;
}

/** What the container has of its own, or must not have from the host. */
const SKIPPED = new Set([
  "pts",
  "shm",
  "fd",
  "mqueue",
  ".lxc",
  ".lxd-mounts",
  ".udev",
  "console",
  "ptmx",
]);
const DEPTH_MAX = 8;

/** Every device node beneath /dev: --privileged. */
export function allHostDevices(): OciDevice[] {
  return walk("/dev", "/dev");
}

function walk(folder: string, target: string, depth = 0): OciDevice[] {
  if (depth > DEPTH_MAX) return [];
  const nodes: OciDevice[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (depth === 0 && folder === "/dev" && SKIPPED.has(entry.name)) continue;
    const path = `${folder}/${entry.name}`;
    const at = `${target}/${entry.name}`;
    if (entry.isDirectory()) nodes.push(...walk(path, at, depth + 1));
    else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      try {
        nodes.push(deviceNodeAt(at, statSync(path))!);
      } catch {
        // It has gone meanwhile.
      }
    }
  }
  return nodes;
}
