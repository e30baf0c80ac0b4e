// The flags that every builder command has: the daemon is the only builder there is.

import { defineFlags, GantryError } from "../../../base/index.ts";

/** Of the commands that wait for no builder. */
export const BUILDER_NAME_FLAGS = defineFlags({
  builder: { type: "string", usage: 'Name of the builder: "default" is the only one' },
  debug: { type: "bool", shorthand: "D", hidden: true },
});

export const BUILDER_FLAGS = defineFlags({
  ...BUILDER_NAME_FLAGS,
  timeout: { type: "duration", default: 20e9, hidden: true },
});

export function checkBuilder(name: string): void {
  if (name === "" || name === "default") return;
  throw new GantryError("not-found", `no builder ${JSON.stringify(name)} found`);
}
