// Every option of dockerd as data: its key in daemon.json, its flag, its type, and what Gantry
// does with it. An option works, or is refused with the reason, or is taken with a warning that it
// has no effect (where refusing would only stop a harmless configuration from loading).

import { optionRows } from "./option-rows.ts";

export type OptionType =
  | "bool"
  | "string"
  | "int"
  | "bytes"
  | "list"
  | "map" // key=value
  | "ulimits" // name=soft:hard
  | "pools" // base=10.0.0.0/8,size=24
  | "switches" // name=true
  | "runtimes" // name=path
  | "object"; // file only

export type Effect =
  | { does: "works" }
  | { does: "nothing"; because: string }
  | { does: "refused"; because: string; except?: readonly unknown[] };

export interface Option {
  /** Key in daemon.json; "" when there is only a flag. */
  key: string;
  /** Flag without dashes; "" when there is only a key. */
  flag: string;
  shorthand?: string;
  type: OptionType;
  default?: unknown;
  reload: boolean;
  effect: Effect;
  usage: string;
}

/** What dockerd knew once, and what it says of it now. */
export const removedKeys: Readonly<Record<string, string>> = {
  "api-cors-header":
    'DEPRECATED: The "api-cors-header" config parameter and the dockerd "--api-cors-header" option ' +
    "have been removed; use a reverse proxy if you need CORS headers",
};

/** Spellings of an older dockerd. */
export const deprecatedKeys: Readonly<Record<string, string>> = {
  "host-gateway-ip": "host-gateway-ips",
  "containerd-plugins-namespace": "containerd-plugin-namespace",
};

export const options: readonly Option[] = optionRows.map(([key, type, usage, more = {}]) => ({
  key,
  flag: key,
  type,
  reload: false,
  effect: { does: "works" },
  usage,
  ...more,
}));
