// Finds a network by name, id or prefix of an id.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Network } from "../contract.ts";

/** By the whole name, else by the whole id, else by a prefix of it. Throws invalid where a prefix
 * fits several. */
export function findNetworkByRef(engine: EngineContext, ref: string): Network | undefined {
  const all = engine.network.describe();
  const exact = all.find(({ Id }) => Id === ref) ?? all.find(({ Name }) => Name === ref);
  if (exact || !/^[0-9a-f]+$/.test(ref)) return exact;
  const found = all.filter(({ Id }) => Id.startsWith(ref));
  if (found.length > 1) {
    throw new GantryError(
      "invalid",
      `network ${ref} is ambiguous (${found.length} matches found based on ID prefix)`,
    );
  }
  return found[0];
}

export function requireNetwork(engine: EngineContext, ref: string): Network {
  const found = findNetworkByRef(engine, ref);
  if (!found) throw new GantryError("not-found", `network ${ref} not found`);
  return found;
}

/** As a container's record names it: by its name, or by the id where it was named so. */
export function networkNamed(engine: EngineContext, name: string): Network | undefined {
  return engine.network.describe().find(({ Name, Id }) => Name === name || Id === name);
}

/** What events say of a network. */
export const identity = ({ Id, Name, Driver }: Network) => ({ id: Id, name: Name, type: Driver });
