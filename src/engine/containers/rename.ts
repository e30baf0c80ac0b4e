// Rename: the new name is reserved before the old one is given up.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { answeredNames } from "./endpoint-names.ts";
import { checkName } from "./names.ts";
import { type ContainerRecord, isRemoving } from "./record.ts";

export async function renameContainer(
  engine: EngineContext,
  ref: string,
  name: string,
): Promise<void> {
  const c = engine.containers.find(ref);
  if (name === "" || name === "/") {
    throw new GantryError("invalid", "Neither old nor new names may be empty");
  }
  if (isRemoving(c)) {
    throw new GantryError("conflict", `Container ${c.id} is marked for removal`);
  }
  const wanted = wantedName(name);
  const oldName = c.name;
  if (wanted === oldName) {
    throw new GantryError("invalid", "Renaming a container with the same name as its current name");
  }
  engine.containers.reserveName(wanted, c.id);
  c.name = wanted;
  try {
    engine.containers.put(c);
  } catch (error) {
    c.name = oldName;
    engine.containers.releaseName(wanted, c.id);
    throw error;
  }
  engine.containers.releaseName(oldName, c.id);
  await renameEndpoints(engine, c);
  announce(engine, c, "rename", { oldName: `/${oldName}` });
}

/** In the words of docker, whose names begin with a slash inside. */
function wantedName(name: string): string {
  try {
    return checkName(name);
  } catch (cause) {
    const inside = name.startsWith("/") ? name : `/${name}`;
    const why = (cause as Error).message.replace(`(${name})`, `(${inside})`);
    throw new GantryError("invalid", `Error when allocating new name: ${why}`, { cause });
  }
}

/** On networks with names the new one is answered at once, the old one no more. */
async function renameEndpoints(engine: EngineContext, c: ContainerRecord): Promise<void> {
  const networks = engine.network.describe();
  for (const record of c.run?.attachments ?? []) {
    const network = networks.find(({ Id }) => Id === record.networkId);
    if (!record.dns || !network) continue;
    await engine.network.rename(record, answeredNames(c, network.Name));
  }
  engine.containers.putFact(c);
}
