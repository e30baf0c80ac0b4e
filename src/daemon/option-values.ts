// Values of options: from a flag's text, and from daemon.json with the type checks (and wording)
// of Go's decoder.

import { type FlagSpec, GantryError, parseRamBytes } from "../base/index.ts";
import type { Option, OptionType } from "./option-table.ts";

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

/** Checks a value of daemon.json and returns it in the flag's form. */
export function valueFromFile(option: Option, value: unknown): unknown {
  if (option.key === "default-shm-size" && typeof value === "string") return parseRamBytes(value);
  if (!fits(option.type, value)) {
    const what = Array.isArray(value)
      ? "array"
      : typeof value === "boolean"
        ? "bool"
        : typeof value;
    throw invalid(
      `json: cannot unmarshal ${what} into Go struct field Config.${option.key} of type ` +
        GO_TYPE[option.type],
    );
  }
  return option.type === "pools" ? poolsFromFile(value as Record<string, unknown>[]) : value;
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
    case "object":
      return isObject;
  }
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
