// Values of options: from a flag's text, and from daemon.json with the type checks (and wording)
// of Go's decoder.

import { isIP } from "node:net";
import { type FlagSpec, GantryError, messageOf, parseBool, parseRamBytes } from "../base/index.ts";
import type { Option, OptionType } from "./option-table.ts";
import { addRuntimeFlag } from "./runtime-settings.ts";

export interface Ulimit {
  Name: string;
  Soft: number;
  Hard: number;
}
export interface AddressPool {
  Base: string;
  Size: number;
}

/** The flag of an option, for the parser. */
export function flagSpecOf(option: Option): FlagSpec {
  const common = {
    usage: option.usage,
    ...(option.shorthand === undefined ? {} : { shorthand: option.shorthand }),
  };
  switch (option.type) {
    case "bool":
      return { ...common, type: "bool", default: option.default === true };
    case "int":
      return { ...common, type: "int", default: Number(option.default ?? 0) };
    case "bytes":
      return { ...common, type: "bytes", default: Number(option.default ?? 0) };
    case "list":
      return { ...common, type: "list" };
    case "map":
    case "object":
      return { ...common, type: "map" };
    case "ulimits":
      return { ...common, type: "custom", valueName: "ulimit", parse: addUlimit };
    case "pools":
      return { ...common, type: "custom", valueName: "pool-options", parse: addPool };
    case "switches":
      return { ...common, type: "custom", valueName: "map", parse: addSwitch };
    case "runtimes":
      return { ...common, type: "custom", valueName: "runtime", parse: addRuntimeFlag };
    case "string":
      return { ...common, type: "string", default: String(option.default ?? "") };
  }
}

/** name=soft[:hard] */
function addUlimit(text: string, previous: unknown): Record<string, Ulimit> {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw invalid(`invalid ulimit argument: ${text}`);
  const [, name = "", soft = "", hard = soft] = match;
  const limit = { Name: name, Soft: Number(soft), Hard: Number(hard) };
  if (limit.Hard >= 0 && (limit.Soft > limit.Hard || limit.Soft < 0)) {
    throw invalid(
      `ulimit soft limit must be less than or equal to hard limit: ${limit.Soft} > ${limit.Hard}`,
    );
  }
  return { ...(previous as object), [name]: limit };
}

/** base=172.30.0.0/16,size=24 */
function addPool(text: string, previous: unknown): AddressPool[] {
  const fields = new Map<string, string>();
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 0) {
      throw invalid(`invalid field '${part}' must be a key=value pair`);
    }
    fields.set(part.slice(0, equals).toLowerCase(), part.slice(equals + 1));
  }
  const size = Number(fields.get("size"));
  const base = fields.get("base") ?? "";
  if (!Number.isInteger(size)) {
    throw invalid(`invalid size value: ${fields.get("size") ?? ""} (must be integer)`);
  }
  return [...((previous as AddressPool[]) ?? []), { Base: base, Size: size }];
}

/** name=true; a name alone switches on. */
function addSwitch(text: string, previous: unknown): Record<string, boolean> {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name.trim() === "") throw invalid(`invalid feature: ${text}`);
  const value = equals < 0 ? "true" : text.slice(equals + 1);
  return { ...(previous as object), [name.trim()]: parseBool(value) };
}

/** Checks a value of daemon.json and returns it in the flag's form. */
export function valueFromFile(option: Option, value: unknown): unknown {
  if (option.type === "bytes" && typeof value === "string") return parseBytes(value);
  if (!fits(option.type, value)) throw mismatch(value, option.key, GO_TYPE[option.type]);
  if (option.type === "switches") checkSwitches(option.key, value as Record<string, unknown>);
  if (ADDRESSES.has(option.key)) [value].flat().forEach(checkAddress);
  return option.type === "pools" ? poolsFromFile(value as Record<string, unknown>[]) : value;
}

function parseBytes(text: string): number {
  try {
    return parseRamBytes(text);
  } catch (cause) {
    throw invalidJson(messageOf(cause), cause);
  }
}

/** Members that are one of Go's net.IP. */
const ADDRESSES = new Set(["dns", "ip", "default-gateway", "default-gateway-v6"]);

function checkAddress(value: unknown): void {
  if (value === "" || isIP(String(value)) !== 0) return;
  throw invalidJson(`invalid IP address: ${value}`);
}

function checkSwitches(key: string, value: Record<string, unknown>): void {
  for (const [name, one] of Object.entries(value)) {
    if (typeof one !== "boolean") throw mismatch(one, `${key}.${name}`, "bool");
  }
}

/** In the words of Go's decoder. */
function mismatch(value: unknown, place: string, type: string): GantryError {
  const what = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return invalidJson(
    `json: cannot unmarshal ${what} into Go struct field Config.${place} of type ${type}`,
  );
}

export function invalidJson(message: string, cause?: unknown): GantryError {
  return new GantryError("invalid", `invalid JSON: ${message}`, { cause });
}

function poolsFromFile(pools: Record<string, unknown>[]): AddressPool[] {
  return pools.map((pool) => {
    const base = pool["base"] ?? pool["Base"];
    const size = pool["size"] ?? pool["Size"];
    return { Base: String(base ?? ""), Size: Number(size ?? 0) };
  });
}

const GO_TYPE: Record<OptionType, string> = {
  bool: "bool",
  string: "string",
  int: "int",
  bytes: "opts.MemBytes",
  list: "[]string",
  map: "map[string]string",
  ulimits: "map[string]*container.Ulimit",
  pools: "[]*ipamutils.NetworkToSplit",
  object: "struct",
  switches: "map[string]bool",
  runtimes: "map[string]system.Runtime",
};

function fits(type: OptionType, value: unknown): boolean {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  switch (type) {
    case "bool":
      return typeof value === "boolean";
    case "string":
      return typeof value === "string";
    case "int":
    case "bytes":
      return Number.isInteger(value);
    case "list":
      return Array.isArray(value) && value.every((item) => typeof item === "string");
    case "map":
      // `features` holds booleans, `log-opts` strings.
      return isObject && Object.values(value).every((item) => typeof item !== "object");
    case "pools":
      return Array.isArray(value) && value.every((item) => typeof item === "object");
    case "ulimits":
    case "switches":
    case "runtimes":
    case "object":
      return isObject;
  }
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
