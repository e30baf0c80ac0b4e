// `gantry registry gc`: the collector once, beside registries that go on serving the same store.

import { GantryError } from "../base/index.ts";
import type { Verb } from "./main.ts";

export const verb: Verb<{}> = {
  usage: "--root DIR",
  short: "Remove what nothing refers to",
  flags: {},
  arguments: { min: 0, max: 0 },
  async run() {
    throw new GantryError("not-implemented", "the collector is not in yet");
  },
};
