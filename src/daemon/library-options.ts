// Options for a program that embeds the engine: the daemon's own defaults (the table of options),
// no configuration file, and what the program says on top.

import type { EngineOptions } from "../engine/index.ts";
import type { NetworkOptions } from "../network/index.ts";
import { loadConfig } from "./config.ts";
import { program } from "./program.ts";
import { ownCgroupParent, toSettings } from "./settings.ts";

export interface LibraryOptions extends Partial<Omit<EngineOptions, "defaults">> {
  defaults?: Partial<EngineOptions["defaults"]>;
  network?: Partial<NetworkOptions>;
}

export async function libraryOptions(
  given: LibraryOptions,
): Promise<{ engine: EngineOptions; network: NetworkOptions }> {
  const config = await loadConfig(["--config-file", "/dev/null"]);
  const settings = toSettings(config, { ...(await program()), home: "/" });
  const { defaults, network, ...engine } = given;
  const own = engine.cgroupParent === undefined;
  const parent = ownCgroupParent(engine.dataRoot ?? settings.engine.dataRoot);
  return {
    engine: {
      ...settings.engine,
      // Of this data root, not the daemon's: boot ends what it finds there and does not know.
      ...(own && { cgroupParent: engine.cgroupDriver === "systemd" ? `${parent}.slice` : parent }),
      cgroupParentIsOwn: own,
      ...engine,
      defaults: { ...settings.engine.defaults, ...defaults },
    },
    network: { ...settings.network, ...network },
  };
}
