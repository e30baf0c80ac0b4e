// The filters of `builder prune`, also those of daemon.json's rules. Pure.

import { GantryError } from "../../../base/index.ts";
import type { Filters } from "../../contract.ts";
import { parseMoment } from "../../prune-filters.ts";
import type { Entry } from "./cache-entries.ts";

type Test = (entry: Entry) => boolean;
const MOMENTS = ["until", "unused-for"];

/** Throws invalid on filters that there are not. */
export function entryFilter(filters: Filters): Test {
  const moments = MOMENTS.flatMap((name) => filters.get(name) ?? []);
  if (moments.length > 1) {
    throw new GantryError("invalid", 'filters expect only one value of "until" and "unused-for"');
  }
  const tests = [...filters].map(([name, values]) => testOf(name, values));
  return (entry) => tests.every((test) => test(entry));
}

function testOf(name: string, values: readonly string[]): Test {
  const isOne = (wanted: (value: string) => boolean) => values.some(wanted);
  switch (name) {
    case "until":
    case "unused-for": {
      const moment = parseMoment(values[0] ?? "");
      return ({ lastUsedAtMs }) => lastUsedAtMs <= moment;
    }
    case "id":
      return ({ id, key }) =>
        isOne((value) => id.startsWith(value) || key.slice(key.indexOf(":") + 1).startsWith(value));
    case "parent":
    case "parents":
      return ({ parents }) => isOne((value) => parents.some((id) => id.startsWith(value)));
    case "type":
      return ({ type }) => values.includes(type);
    case "description":
      return ({ description }) => isOne((value) => description.includes(value));
    case "inuse":
      return ({ inUse }) => inUse === truth(name, values);
    case "shared":
      return ({ shared }) => shared === truth(name, values);
    case "private":
      return ({ shared }) => shared !== truth(name, values);
    case "mutable":
      return ({ type }) => (type === "exec.cachemount") === truth(name, values);
    case "immutable":
      return ({ type }) => (type === "exec.cachemount") !== truth(name, values);
    case "label": // `system prune` asks for labels everywhere, and no entry has any
      return () => false;
    case "label!":
      return () => true;
    default:
      throw new GantryError("invalid", `invalid filter '${name}'`);
  }
}

/** `--filter inuse` alone means that it is. */
function truth(name: string, [value = "", ...more]: readonly string[]): boolean {
  if (more.length > 0) {
    throw new GantryError("invalid", `filter ${JSON.stringify(name)} expects only one value`);
  }
  if (["", "1", "true"].includes(value)) return true;
  if (["0", "false"].includes(value)) return false;
  throw new GantryError("invalid", `invalid filter '${name}=${value}'`);
}
