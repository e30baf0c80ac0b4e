// The options of macvlan and ipvlan networks, as docker names them. Pure; wording is dockerd's.

import { GantryError } from "../base/index.ts";
import { MTU, mtuOf } from "./bridge-options.ts";
import type { CreateNetworkRequest } from "./contract.ts";
import type { LanConfig, NetworkRecord } from "./network-record.ts";
import { IPVLAN_FLAGS, IPVLAN_MODES, MACVLAN_MODES } from "./rtnetlink-numbers.ts";

const INTERFACE_NAME_BYTES_MAX = 15;
const VLAN_ID_MAX = 4094;

export interface LanSurroundings {
  existing: readonly NetworkRecord[];
  /** Names of the host's interfaces. */
  links: readonly string[];
  mtu: number;
}

export function lanConfig(
  driver: "macvlan" | "ipvlan",
  o: CreateNetworkRequest,
  id: string,
  around: LanSurroundings,
): LanConfig {
  const options = o.Options ?? {};
  const modes = driver === "macvlan" ? MACVLAN_MODES : IPVLAN_MODES;
  const config: LanConfig = {
    ...parentOf(driver, options["parent"] ?? "", id, around.links),
    mtu: mtuOf(options[MTU], around.mtu),
    mode: choice(`${driver}_mode`, options, modes, driver === "macvlan" ? "bridge" : "l2"),
    flag: driver === "ipvlan" ? choice("ipvlan_flag", options, IPVLAN_FLAGS, "bridge") : "",
  };
  const other = around.existing.find(({ lan }) => lan?.parent === config.parent);
  if (other && (other.driver !== driver || config.mode === "passthru")) {
    throw new GantryError(
      "forbidden",
      `network ${other.name} is already using parent interface ${config.parent}: an interface ` +
        "takes either macvlan or ipvlan links, and one container in passthru mode",
    );
  }
  // Whoever is the last on it removes what the first has made.
  return other?.lan?.makes ? { ...config, makes: other.lan.makes } : config;
}

function choice(
  key: string,
  options: Record<string, string>,
  known: Readonly<Record<string, number>>,
  otherwise: string,
): string {
  const wanted = options[key] || otherwise;
  if (Object.hasOwn(known, wanted)) return wanted;
  throw new GantryError(
    "invalid",
    `requested ${key} '${wanted}' is not valid, '${otherwise}' mode is the ${key} default ` +
      `(one of ${Object.keys(known).join(", ")})`,
  );
}

/** "eth0"; "eth0.50", whose 802.1q sub-interface is made where it is missing; none: a dummy. */
function parentOf(
  driver: "macvlan" | "ipvlan",
  wanted: string,
  id: string,
  links: readonly string[],
): Pick<LanConfig, "parent" | "makes"> {
  if (wanted === "") {
    const parent = `${driver === "macvlan" ? "dm" : "di"}-${id.slice(0, 12)}`;
    return { parent, makes: { kind: "dummy" } };
  }
  if (links.includes(wanted)) return { parent: wanted };
  const [, link = "", number = ""] = /^(.+)\.(\d+)$/.exec(wanted) ?? [];
  const vlan = Number(number);
  if (wanted.length > INTERFACE_NAME_BYTES_MAX || !links.includes(link)) {
    throw new GantryError(
      "invalid",
      `-o parent interface does not exist on the host: ${wanted}; ` +
        `the host has ${links.filter((name) => name !== "lo").join(", ") || "none"}`,
    );
  }
  if (vlan < 1 || vlan > VLAN_ID_MAX) {
    throw new GantryError(
      "invalid",
      `vlan id must be between 1-${VLAN_ID_MAX}, received: ${number}`,
    );
  }
  return { parent: wanted, makes: { kind: "vlan", link, id: vlan } };
}
