// The folder of a registry must be one: empty, or one that we or Docker's registry have filled. To
// serve the data root of a daemon, or a home folder by mistake, would make folders in it and let
// the collector walk it.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError, messageOf } from "../base/index.ts";

/** What may lie beside the content: ours, a file system's own, and what an operator keeps there. */
const OWN =
  /^(docker|gantry-registry|lost\+found|\..*|.*\.(ya?ml|jwks|json|log|htpasswd|revoked))$/;
const LISTED_MAX = 5;

/** Throws GantryError invalid for a folder that holds something else. */
export async function checkRoot(root: string): Promise<void> {
  const inside = await names(root);
  if (inside.length === 0) return;
  if (inside.includes("docker")) {
    const below = await names(join(root, "docker"));
    if (below.length === 0 || below.includes("registry")) return;
  }
  const foreign = inside.filter((name) => !OWN.test(name));
  if (foreign.length === 0) return;
  const shown = foreign.slice(0, LISTED_MAX).join(", ");
  const rest = foreign.length > LISTED_MAX ? " …" : "";
  throw new GantryError(
    "invalid",
    `${root} is not a registry's folder: it holds ${shown}${rest}; choose an empty folder`,
  );
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return [];
    throw new GantryError("invalid", `Cannot use ${folder}: ${messageOf(cause)}`, { cause });
  }
}
