// What the host's resctrl looks like for a container that asks for a class of service.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/index.ts";
import { type KernelFeatures, type RdtState, rdtClassOf } from "../runtime/index.ts";
import type { OciSpec } from "../spec/index.ts";

export async function rdtFacts(
  { resctrl }: Pick<KernelFeatures, "resctrl">,
  id: string,
  { linux }: OciSpec,
): Promise<{ rdt?: RdtState }> {
  if (!linux?.intelRdt || resctrl === undefined) return {};
  const path = join(resctrl, rdtClassOf(linux.intelRdt, id), "schemata");
  const schemata = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  return { rdt: { mount: resctrl, ...(schemata !== undefined && { schemata }) } };
}
