// The filters of `network ls`.

import { GantryError } from "../../base/index.ts";
import { matchesLabel } from "../containers/filter.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Network } from "../contract.ts";

const PREDEFINED = new Set(["bridge", "host", "none"]);
const TRUE = ["true", "1"];
const FALSE = ["false", "0"];

export const isPredefined = ({ Name }: Network): boolean => PREDEFINED.has(Name);

export const isUsed = (engine: EngineContext, { Id }: Network): boolean =>
  engine.containers.all().some((c) => c.run?.attachments.some((a) => a.networkId === Id));

/** Values of one filter are alternatives, but every label must be there. */
export function matchesNetwork(engine: EngineContext, network: Network, filters: Filters): boolean {
  for (const [key, values] of filters) {
    const test = tester(engine, network, key);
    if (values.length === 0) continue;
    if (!(key === "label" ? values.every(test) : values.some(test))) return false;
  }
  return true;
}

function tester(engine: EngineContext, network: Network, key: string): (value: string) => boolean {
  switch (key) {
    case "driver":
      return (value) => network.Driver === value;
    case "id":
      return (value) => network.Id.startsWith(value);
    case "name":
      return (value) => network.Name.includes(value);
    case "type":
      return (value) => {
        if (value !== "builtin" && value !== "custom") {
          throw new GantryError("invalid", `invalid filter: 'type'='${value}'`);
        }
        return isPredefined(network) === (value === "builtin");
      };
    case "scope":
      return (value) => value === "local";
    case "dangling":
      return (value) => {
        if (![...TRUE, ...FALSE].includes(value)) {
          const may = 'must be "true" (or "1"), or "false" (or "0")';
          throw new GantryError("invalid", `invalid value for filter 'dangling', ${may}`);
        }
        return TRUE.includes(value) === (!isPredefined(network) && !isUsed(engine, network));
      };
    case "label":
      return (value) => matchesLabel(network["Labels"] as Record<string, string>, value);
    default:
      throw new GantryError("invalid", `invalid filter '${key}'`);
  }
}
