// Flags whose every value is checked when it is read, so that a mistake is reported with the
// flag's name: `invalid argument "x" for "--device" flag: …`.

import { isIP } from "node:net";
import { type FlagSpec, GantryError, parseRamBytes } from "../../base/index.ts";

export const invalid = (message: string) => new GantryError("invalid", message);

/** A repeatable flag; `check` returns the value to keep. */
export function checkedList<T = string>(
  check: (text: string) => T,
  usage: string,
  options: {
    shorthand?: string;
    valueName?: string;
    aliases?: readonly string[];
    hidden?: boolean;
  } = {},
) {
  return {
    type: "custom",
    valueName: "list",
    default: [] as T[],
    usage,
    ...options,
    parse: (text: string, previous: unknown): T[] => [...((previous as T[]) ?? []), check(text)],
  } as const satisfies FlagSpec;
}

export function attachStream(text: string): string {
  const stream = text.toLowerCase();
  if (["stdin", "stdout", "stderr"].includes(stream)) return stream;
  throw invalid("valid streams are STDIN, STDOUT and STDERR");
}

/** Only the name's form; its value is looked up in the caller's environment later. */
export function environment(text: string): string {
  if (text.split("=")[0] === "") throw invalid(`invalid environment variable: ${text}`);
  return text;
}

export function label(text: string): string {
  if (text.split("=")[0] === "") throw invalid(`invalid label '${text}': empty name`);
  return text;
}

export function ipAddress(text: string): string {
  const trimmed = text.trim();
  if (isIP(trimmed) === 0) throw invalid(`IP address is not correctly formatted: ${text}`);
  return trimmed;
}

const DOMAIN =
  /^(:?(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))(:?\.(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])))*)\.?\s*$/;

export function dnsSearch(text: string): string {
  const trimmed = text.trim();
  if (trimmed === ".") return trimmed;
  if (!/[a-zA-Z]/.test(trimmed)) throw invalid(`${trimmed} is not a valid domain`);
  if (trimmed.length < 255 && DOMAIN.test(trimmed)) return trimmed;
  throw invalid(`${trimmed} is not a valid domain`);
}

/** "name:ip", "name=ip", "name:[v6]", "name:host-gateway". */
export function extraHost(text: string): string {
  const separator = text.includes("=") ? text.indexOf("=") : text.indexOf(":");
  const name = text.slice(0, Math.max(0, separator));
  let address = separator < 0 ? "" : text.slice(separator + 1);
  if (name === "") throw invalid(`bad format for add-host: ${JSON.stringify(text)}`);
  if (address === "host-gateway") return `${name}:${address}`;
  if (address.length > 2 && address.startsWith("[") && address.endsWith("]")) {
    address = address.slice(1, -1);
  }
  if (isIP(address) === 0) {
    throw invalid(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  }
  return `${name}:${address}`;
}

export function link(text: string): string {
  const parts = text.split(":");
  if (text === "") throw invalid("empty string specified for links");
  if (parts.length > 2) throw invalid(`bad format for links: ${text}`);
  return text;
}

const DEVICE_MODE = /^[rwm]+$/;
export function isDeviceMode(mode: string): boolean {
  return DEVICE_MODE.test(mode) && new Set(mode).size === mode.length;
}

/** A name such as vendor.example/class=name is a CDI device, everything else a path. */
export function isCdiDevice(text: string): boolean {
  return /^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*=[\w.:-]+$/.test(text);
}

export function device(text: string): string {
  if (isCdiDevice(text)) return text;
  const parts = text.split(":");
  if (text.startsWith(":")) throw invalid(`bad format for path: ${text}`);
  if (parts.length > 3) throw invalid(`bad format for path: ${text}`);
  const [, second, mode] = parts;
  if (mode !== undefined && !isDeviceMode(mode)) throw invalid(`bad mode specified: ${mode}`);
  const path =
    second !== undefined && !(parts.length === 2 && isDeviceMode(second)) ? second : parts[0]!;
  if (!path.startsWith("/")) throw invalid(`${path} is not an absolute path`);
  return text;
}

export function deviceCgroupRule(text: string): string {
  if (/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(text)) return text;
  throw invalid(`invalid device cgroup format '${text}'`);
}

function deviceAndValue(text: string): [string, string] {
  const parts = text.split(":");
  if (parts.length !== 2) throw invalid(`bad format: ${text}`);
  if (!parts[0]!.startsWith("/dev/")) throw invalid(`bad format for device path: ${text}`);
  return [parts[0]!, parts[1]!];
}

export function weightDevice(text: string): { Path: string; Weight: number } {
  const [Path, value] = deviceAndValue(text);
  const Weight = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(Weight === 0 || (Weight >= 10 && Weight <= 1000))) {
    throw invalid(`invalid weight for device: ${text}`);
  }
  return { Path, Weight };
}

export function throttleBytes(text: string): { Path: string; Rate: number } {
  const [Path, value] = deviceAndValue(text);
  const why = `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`;
  try {
    return { Path, Rate: parseRamBytes(value) };
  } catch (cause) {
    throw new GantryError("invalid", why, { cause });
  }
}

export function throttleOperations(text: string): { Path: string; Rate: number } {
  const [Path, value] = deviceAndValue(text);
  if (!/^\d+$/.test(value)) {
    throw invalid(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  }
  return { Path, Rate: Number(value) };
}

const SYSCTLS = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

export function sysctl(text: string): string {
  const name = text.split("=")[0]!;
  const allowed = SYSCTLS.has(name) || name.startsWith("net.") || name.startsWith("fs.mqueue.");
  if (!text.includes("=") || !allowed) throw invalid(`sysctl '${text}' is not allowed`);
  return text;
}

const ULIMITS = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  ),
);

export function ulimit(text: string): { Name: string; Soft: number; Hard: number } {
  const equals = text.indexOf("=");
  if (equals < 0) throw invalid(`invalid ulimit argument: ${text}`);
  const Name = text.slice(0, equals);
  const limits = text.slice(equals + 1).split(":");
  if (!ULIMITS.has(Name)) throw invalid(`invalid ulimit type: ${Name}`);
  if (limits.length > 2) {
    throw invalid(
      `too many limit value arguments - ${text.slice(equals + 1)}, can only have up to two, \`soft[:hard]\``,
    );
  }
  const number = (value: string) => {
    if (/^-?\d+$/.test(value)) return Number(value);
    throw invalid(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  };
  const Soft = number(limits[0]!);
  const Hard = limits[1] === undefined ? Soft : number(limits[1]);
  if (Hard !== -1 && (Soft > Hard || Soft === -1)) {
    throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
  }
  return { Name, Soft, Hard };
}
