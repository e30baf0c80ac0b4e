// Reads one CDI spec file. Such files come from vendors' tools and are written by root, but a
// broken or strange one must spoil neither the others nor the daemon: everything is checked here.

import { parse } from "yaml";
import { GantryError } from "../../base/index.ts";
import type { OciMount } from "../../spec/index.ts";
import type { DeviceSpec, HookPoint, SpecDeviceNode, SpecEdits, SpecHook } from "./contract.ts";

const VERSIONS = ["0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0"];
const DEVICES_MAX = 4096;
const EDITS_MAX = 4096;
const HOOKS: readonly HookPoint[] = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
];

const bad = (why: string): GantryError => new GantryError("invalid", `invalid CDI spec: ${why}`);
const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);

/** Throws invalid with what is wrong; JSON is YAML too. */
export function parseDeviceSpec(text: string): DeviceSpec {
  let document: unknown;
  try {
    // Aliases could make a small file a large one.
    document = parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw new GantryError("invalid", "invalid CDI spec: it is neither YAML nor JSON", { cause });
  }
  const spec = record(document, "spec");
  const version = spec["cdiVersion"];
  if (typeof version !== "string" || !VERSIONS.includes(version.replace(/^v/, ""))) {
    throw bad(`version ${shown(version)} is not one of ${VERSIONS.join(", ")}`);
  }
  const kind = kindOf(spec["kind"]);
  const devices = list(spec["devices"], "devices", DEVICES_MAX).map((entry) => {
    const device = record(entry, "device");
    const name = device["name"];
    if (typeof name !== "string" || !/^[A-Za-z0-9](?:[\w.:-]*[A-Za-z0-9])?$/.test(name)) {
      throw bad(`device name ${shown(name)}`);
    }
    return { name, edits: editsOf(device["containerEdits"], version) };
  });
  if (devices.length === 0) throw bad("it has no devices");
  const names = new Set(devices.map(({ name }) => name));
  if (names.size < devices.length) throw bad("a device name is there twice");
  return { kind, edits: editsOf(spec["containerEdits"], version), devices };
}

function kindOf(value: unknown): string {
  const match = typeof value === "string" ? /^([^/]+)\/([^/]+)$/.exec(value) : null;
  const isVendor = /^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?$/.test(match?.[1] ?? "");
  const isClass = /^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?$/.test(match?.[2] ?? "");
  if (!isVendor || !isClass) throw bad(`kind ${shown(value)} is not "vendor.com/class"`);
  return value as string;
}

const EDITS = [
  "env",
  "deviceNodes",
  "mounts",
  "hooks",
  "additionalGids",
  "additionalGIDs",
  "intelRdt",
];

function editsOf(value: unknown, version: string): SpecEdits {
  const edits = value === undefined || value === null ? {} : record(value, "containerEdits");
  for (const name of Object.keys(edits)) {
    // What is not understood cannot be left out: the device would not work, or not be confined.
    if (!EDITS.includes(name)) throw bad(`unknown container edit ${shown(name)}`);
  }
  const from = (field: string) => list(edits[field], field, EDITS_MAX);
  return {
    env: from("env").map(variable),
    deviceNodes: from("deviceNodes").map((node) => deviceNode(node, version)),
    mounts: from("mounts").map((mount) => mountOf(mount, version)),
    additionalGids: [...from("additionalGids"), ...from("additionalGIDs")]
      .map((gid) => count(gid, "additional gid"))
      .filter((gid) => gid !== 0),
    hooks: from("hooks").map(hookOf),
    intelRdt: edits["intelRdt"] !== undefined && edits["intelRdt"] !== null,
  };
}

function variable(entry: unknown): string {
  if (typeof entry === "string" && /^[^=\0]+=[^\0]*$/.test(entry)) return entry;
  throw bad(`environment variable ${shown(entry)}`);
}

function hookOf(value: unknown): SpecHook {
  const { hookName, path, args, env, timeout, ...rest } = record(value, "hook");
  const point = HOOKS.find((name) => name === hookName);
  if (!point) throw bad(`hook name ${shown(hookName)}`);
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw bad(`unknown field ${shown(unknown)} of a hook`);
  const seconds = timeout === undefined || timeout === null ? 0 : count(timeout, "hook timeout");
  return {
    point,
    hook: {
      path: absolute(path, "hook"),
      args: list(args, "hook arguments", EDITS_MAX).map((word) => text(word, "hook argument")),
      env: list(env, "hook environment", EDITS_MAX).map(variable),
      ...(seconds > 0 && { timeout: seconds }),
    },
  };
}

function deviceNode(value: unknown, version: string): SpecDeviceNode {
  const node = record(value, "device node");
  const { type, permissions } = node;
  if (node["hostPath"] !== undefined && isBefore(version, "0.5.0")) {
    throw bad("hostPath of a device node needs version 0.5.0");
  }
  if (type !== undefined && !["", "b", "c", "u", "p"].includes(type as string)) {
    throw bad(`device type ${shown(type)}`);
  }
  if (permissions !== undefined && !/^[rwm]{0,3}$/.test(String(permissions))) {
    throw bad(`device permissions ${shown(permissions)}`);
  }
  const numbers: Partial<SpecDeviceNode> = {};
  for (const field of ["major", "minor", "fileMode", "uid", "gid"] as const) {
    if (node[field] !== undefined && node[field] !== null) {
      numbers[field] = count(node[field], field);
    }
  }
  return {
    path: absolute(node["path"], "device node"),
    ...(node["hostPath"] ? { hostPath: absolute(node["hostPath"], "hostPath") } : {}),
    ...(type ? { type: type as string } : {}),
    ...(permissions ? { permissions: permissions as string } : {}),
    ...numbers,
  };
}

function mountOf(value: unknown, version: string): OciMount {
  const mount = record(value, "mount");
  const { hostPath, type } = mount;
  if (type !== undefined && isBefore(version, "0.4.0")) {
    throw bad("type of a mount needs version 0.4.0");
  }
  if (typeof hostPath !== "string" || hostPath === "") throw bad("a mount without a host path");
  const options = list(mount["options"], "mount options", EDITS_MAX).map((option) => {
    if (typeof option !== "string") throw bad(`mount option ${shown(option)}`);
    return option;
  });
  const isBind = type === undefined || type === "" || type === "bind" || type === "none";
  if (isBind) absolute(hostPath, "mount");
  return {
    destination: absolute(mount["containerPath"], "mount"),
    source: hostPath,
    type: isBind ? "bind" : text(type, "mount type"),
    options:
      isBind && !options.some((o) => o === "bind" || o === "rbind")
        ? [...options, "rbind"]
        : options,
  };
}

const isBefore = (version: string, other: string): boolean =>
  VERSIONS.indexOf(version.replace(/^v/, "")) < VERSIONS.indexOf(other);

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw bad(`${what} is not an object`);
}

function list(value: unknown, what: string, max: number): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw bad(`${what} is not a list`);
  if (value.length > max) throw bad(`${what} has more than ${max} entries`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value === "string" && !value.includes("\0")) return value;
  throw bad(`${what} ${shown(value)}`);
}

function absolute(value: unknown, what: string): string {
  const path = text(value, what);
  if (!path.startsWith("/")) throw bad(`${what} path ${shown(value)} is not absolute`);
  return path;
}

function count(value: unknown, what: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32) {
    return value as number;
  }
  throw bad(`${what} ${shown(value)}`);
}
