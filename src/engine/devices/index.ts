// The door of CDI devices: what a container's device requests change in it, and what is there.

import { lstat } from "node:fs/promises";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { HostConfig, OciDevice, OciDeviceRule } from "../../spec/index.ts";
import { deviceNodeAt } from "../containers/host-devices.ts";
import type { EngineContext } from "../context.ts";
import type { DeviceEdits, SpecDeviceNode, SpecEdits } from "./contract.ts";
import { readDevices } from "./registry.ts";
import { requestedNames } from "./requests.ts";

export { applyDeviceEdits } from "./apply.ts";
export type { DeviceEdits } from "./contract.ts";

type EngineOptions = Pick<EngineContext, "options" | "log">;

/** What the requested devices change in the container, in the order to apply it. Throws invalid
 * with docker's wording, not-implemented for what cannot be given. */
export async function requestedDevices(
  engine: EngineOptions,
  host: Pick<HostConfig, "DeviceRequests">,
): Promise<DeviceEdits[]> {
  const requests = host.DeviceRequests ?? [];
  if (requests.length === 0) return [];
  const registry = await readDevices(engine.options.cdiSpecDirs ?? []);
  const names = requestedNames(requests, registry);
  const missing = names.filter((name) => !registry.devices.has(name));
  if (registry.problems.length > 0) {
    engine.log.warn("CDI specs have problems", { problems: registry.problems.join("; ") });
  }
  if (missing.length > 0) {
    throw new GantryError(
      "invalid",
      `CDI device injection failed: unresolvable CDI devices ${missing.join(", ")}`,
      { detail: { problems: registry.problems } },
    );
  }
  // Edits of a whole spec once, before those of its first device.
  const all: [string, SpecEdits][] = [];
  const specs = new Set<string>();
  for (const name of names) {
    const { edits, file } = registry.devices.get(name)!;
    if (!specs.has(file)) all.push([name, edits.spec]);
    specs.add(file);
    all.push([name, edits.device]);
  }
  return await Promise.all(all.map(([name, edits]) => resolveEdits(name, edits)));
}

/** Devices that specs describe, as `info` shows them. */
export async function discoveredDevices({ options }: EngineOptions): Promise<{
  devices: { Source: "cdi"; ID: string }[];
  warnings: string[];
}> {
  const { devices, problems } = await readDevices(options.cdiSpecDirs ?? []);
  return {
    devices: [...devices.keys()].sort().map((ID) => ({ Source: "cdi", ID })),
    warnings: problems.map((problem) => `WARNING: CDI: ${problem}`),
  };
}

async function resolveEdits(name: string, edits: SpecEdits): Promise<DeviceEdits> {
  if (edits.intelRdt) {
    throw new GantryError(
      "not-implemented",
      `CDI device injection failed: ${name} needs Intel RDT, which is not supported yet`,
    );
  }
  const nodes = await Promise.all(edits.deviceNodes.map((node) => resolveNode(name, node)));
  return {
    env: edits.env,
    devices: nodes.map(({ device }) => device),
    rules: nodes.flatMap(({ rule }) => (rule ? [rule] : [])),
    mounts: edits.mounts,
    additionalGids: edits.additionalGids,
    hooks: edits.hooks,
  };
}

/** What the spec leaves out is as the host's own node has it. */
async function resolveNode(
  name: string,
  node: SpecDeviceNode,
): Promise<{ device: OciDevice; rule: OciDeviceRule | undefined }> {
  const isWhole = node.type !== undefined && (node.type === "p" || node.major !== undefined);
  const found = isWhole ? undefined : await hostNode(name, node.hostPath ?? node.path);
  if (found && node.type !== undefined && node.type !== found.type) {
    throw injectionFailed(name, `${found.path} is of type ${found.type}, not ${node.type}`);
  }
  const { type = "", major = 0, minor = 0 } = { ...found, ...defined(node) };
  const fileMode = node.fileMode ?? found?.fileMode;
  const device: OciDevice = {
    path: node.path,
    type,
    major,
    minor,
    ...(fileMode !== undefined && { fileMode: fileMode & 0o7777 }),
    ...(node.uid !== undefined && { uid: node.uid }),
    ...(node.gid !== undefined && { gid: node.gid }),
  };
  if (type !== "b" && type !== "c") return { device, rule: undefined };
  const access = node.permissions ?? "rwm";
  return { device, rule: { allow: true, type, major, minor, access } };
}

function defined({ type, major, minor }: SpecDeviceNode): Partial<OciDevice> {
  return {
    ...(type !== undefined && { type }),
    ...(major !== undefined && { major }),
    ...(minor !== undefined && { minor }),
  };
}

async function hostNode(name: string, path: string): Promise<OciDevice> {
  try {
    const node = deviceNodeAt(path, await lstat(path));
    if (node) return node;
  } catch (cause) {
    const why = errnoOf(cause) === "ENOENT" ? "no such file or directory" : String(cause);
    throw injectionFailed(name, `failed to stat CDI host device "${path}": ${why}`, cause);
  }
  throw injectionFailed(name, `${path} is not a device node`);
}

const injectionFailed = (name: string, why: string, cause?: unknown): GantryError =>
  new GantryError("invalid", `CDI device injection failed: ${name}: ${why}`, { cause });
