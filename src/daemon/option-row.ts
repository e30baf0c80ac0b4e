// Shorthand for the rows of the option table.

import type { Option, OptionType } from "./option-table.ts";

export type Row = [key: string, type: OptionType, usage: string, more?: Partial<Option>];

/** Taken with a warning. */
export const nothing = (because: string): Partial<Option> => ({
  effect: { does: "nothing", because },
});
/** An error, except for values that mean what Gantry does anyway. */
export const refused = (because: string, ...except: unknown[]): Partial<Option> => ({
  effect: { does: "refused", because, except },
});

export const SWARM = "there is no swarm mode";
