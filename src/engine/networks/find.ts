// Finds a network by name, id or prefix of an id.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Network } from "../contract.ts";

/** Throws invalid where a prefix fits several. */
export function findNetworkByRef(engine: EngineContext, ref: string): Network | undefined {
  const all = engine.network.describe();
  const exact = all.find(({ Id }) => Id === ref) ?? all.find(({ Name }) => Name === ref);
  if (exact || !/^[0-9a-f]+$/.test(ref)) return exact;
  const found = all.filter(({ Id }) => Id.startsWith(ref));
  if (found.length > 1) {
    throw new GantryError(
      "invalid",
      `network ${ref} is ambiguous (${found.length} matches found on ID prefix)`,
    );
  }
  return found[0];
}

export function requireNetwork(engine: EngineContext, ref: string): Network {
  const found = findNetworkByRef(engine, ref);
  if (!found) throw new GantryError("not-found", `network ${ref} not found`);
  return found;
}
