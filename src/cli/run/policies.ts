// Small grammars of `run`: restart policies, security options, GPUs, devices, CPU counts.

import { readFileSync } from "node:fs";
import { errnoOf, messageOf, splitCsv } from "../../base/index.ts";
import type { DeviceMapping, DeviceRequest } from "../../spec/index.ts";
import { invalid, isDeviceMode } from "./list-flags.ts";

export function parseRestartPolicy(text: string): { Name: string; MaximumRetryCount: number } {
  if (text === "") return { Name: "", MaximumRetryCount: 0 };
  const colon = text.indexOf(":");
  const Name = colon < 0 ? text : text.slice(0, colon);
  if (colon >= 0 && Name === "") {
    throw invalid("invalid restart policy format: no policy provided before colon");
  }
  const count = colon < 0 ? "" : text.slice(colon + 1);
  if (count === "") return { Name, MaximumRetryCount: 0 };
  if (!/^[-+]?\d+$/.test(count)) {
    throw invalid("invalid restart policy format: maximum retry count must be an integer");
  }
  return { Name, MaximumRetryCount: Number(count) };
}

export interface SecurityOptions {
  options: string[];
  unmaskPaths: boolean;
}

/** Reads seccomp profiles, which are the client's files, and takes systempaths out. */
export function parseSecurityOptions(specs: readonly string[], read = readText): SecurityOptions {
  const options: string[] = [];
  let unmaskPaths = false;
  for (const spec of specs) {
    if (spec === "systempaths=unconfined") {
      unmaskPaths = true;
      continue;
    }
    let [key = "", value] = cut(spec, "=");
    if (value === undefined && key !== "no-new-privileges") {
      const [name, rest] = cut(spec, ":");
      if (rest === undefined) throw invalid(`Invalid --security-opt: ${JSON.stringify(spec)}`);
      [key, value] = [name, rest];
    }
    if (key === "seccomp" && value !== "unconfined" && value !== "builtin") {
      options.push(`seccomp=${readProfile(value!, read)}`);
    } else options.push(spec);
  }
  return { options, unmaskPaths };
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}

function readProfile(path: string, read: (path: string) => string): string {
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    const why = errnoOf(error) === "ENOENT" ? "no such file or directory" : messageOf(error);
    throw invalid(`opening seccomp profile (${path}) failed: open ${path}: ${why}`);
  }
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (error) {
    throw invalid(`compacting json for seccomp profile (${path}) failed: ${messageOf(error)}`);
  }
}

export function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** --gpus: all, a count, or count=…,device=…,capabilities=…. */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = {
    Driver: "",
    Count: 0,
    DeviceIDs: null,
    Capabilities: null,
    Options: {},
  };
  const seen = new Set<string>();
  for (const field of splitCsv(text)) {
    let [key, value] = cut(field, "=");
    if (value === undefined) [key, value] = ["count", field];
    key = key.trim();
    if (seen.has(key)) throw invalid(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    if (key === "driver") request.Driver = value;
    else if (key === "count") request.Count = gpuCount(value);
    else if (key === "device") request.DeviceIDs = value.split(",");
    else if (key === "capabilities") request.Capabilities = [[...value.split(","), "gpu"]];
    else if (key === "options") {
      request.Options = Object.fromEntries(
        splitCsv(value).map((one) => [cut(one, "=")[0], cut(one, "=")[1] ?? ""]),
      );
    } else throw invalid(`unexpected key '${key}' in '${field}'`);
  }
  if (!seen.has("count") && request.DeviceIDs === null) request.Count = 1;
  request.Capabilities ??= [["gpu"]];
  return request;
}

function gpuCount(text: string): number {
  if (text === "all") return -1;
  if (/^[-+]?\d+$/.test(text)) return Number(text);
  throw invalid(
    `invalid count (${text}): value must be either "all" or an integer: invalid syntax`,
  );
}

export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  const PathOnHost = parts[0]!;
  let PathInContainer = PathOnHost;
  let CgroupPermissions = "rwm";
  if (parts.length === 3) CgroupPermissions = parts[2]!;
  if (parts.length >= 2) {
    if (parts.length === 2 && isDeviceMode(parts[1]!)) CgroupPermissions = parts[1]!;
    else PathInContainer = parts[1]!;
  }
  return { PathOnHost, PathInContainer: PathInContainer || PathOnHost, CgroupPermissions };
}

/** --cpus: a decimal number of CPUs as billionths of one. */
export function parseCpus(text: string): number {
  const match = /^([-+]?)(\d*)(?:\.(\d*))?$/.exec(text);
  if (!match || (match[2] === "" && !match[3])) {
    throw invalid(`failed to parse ${text} as a rational number`);
  }
  const fraction = (match[3] ?? "").replace(/0+$/, "");
  if (fraction.length > 9) throw invalid("value is too precise");
  const nano = Number(`${match[2] || "0"}${fraction.padEnd(9, "0")}`);
  return match[1] === "-" ? -nano : nano;
}

/** Capability names as the daemon knows them; what is added is not dropped, ALL stands alone. */
export function effectiveCapabilities(
  add: readonly string[],
  drop: readonly string[],
): { add: string[]; drop: string[] } {
  const normal = (names: readonly string[]) => {
    const all = new Set(names.map(capabilityName));
    return all.has("ALL") ? new Set(["ALL"]) : all;
  };
  const added = normal(add);
  const dropped = [...normal(drop)].filter((name) => !added.has(name));
  return { add: [...added].sort(), drop: dropped.sort() };
}

function capabilityName(text: string): string {
  const name = text.trim().toUpperCase();
  return name === "ALL" || name === "RESET" || name.startsWith("CAP_") ? name : `CAP_${name}`;
}
