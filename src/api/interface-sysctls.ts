// Sysctls of one interface ("net.ipv4.conf.eth0.log_martians"): which interface is eth0 depends on
// the order of a container's networks, so since API 1.46 they are an option of the endpoint. Of
// clients of before, those of eth0 are moved there, as dockerd does and in its words.

import { GantryError } from "../base/index.ts";
import type { ApiVersion } from "../protocol/index.ts";
import type { EndpointSettings, HostConfig } from "../spec/index.ts";

const OPTION = "com.docker.network.endpoint.sysctls";
const OF_INTERFACE = /^net\.([^.]*)\.([^.]*)\.(eth[^.]*)\.(.*)$/s;

/** Changes `host` and `endpoints`; returns warnings, throws invalid. */
export function moveInterfaceSysctls(
  host: HostConfig,
  endpoints: Record<string, EndpointSettings>,
  version: ApiVersion,
): string[] {
  const mode = host.NetworkMode ?? "bridge";
  if (mode === "host" || mode.startsWith("container:")) return [];
  const moved: [name: string, option: string][] = [];
  for (const [name, value] of Object.entries(host.Sysctls ?? {})) {
    const [, family, kind, link, rest] = OF_INTERFACE.exec(name) ?? [];
    if (link === undefined) continue;
    if (version.atLeast("1.46")) {
      throw invalid(
        `interface specific sysctl setting ${JSON.stringify(name)} must be supplied using driver ` +
          `option '${OPTION}'`,
      );
    }
    if (link !== "eth0") {
      throw invalid(
        `unable to determine network endpoint for sysctl ${name}, use driver option '${OPTION}' ` +
          "to set per-interface sysctls",
      );
    }
    moved.push([name, `net.${family}.${kind}.IFNAME.${rest}=${value}`]);
  }
  if (moved.length === 0) return [];
  const endpoint = (endpoints[mode] ??= {});
  const given = endpoint.DriverOpts?.[OPTION];
  const options = moved.map(([, option]) => option).join(",");
  const all = given ? `${given},${options}` : options;
  endpoint.DriverOpts = { ...endpoint.DriverOpts, [OPTION]: all };
  const left = { ...host.Sysctls };
  for (const [name] of moved) delete left[name];
  host.Sysctls = left;
  const names = moved.map(([name]) => name).join(",");
  return [
    `Migrated sysctl ${JSON.stringify(names)} to DriverOpts{${JSON.stringify(OPTION)}:` +
      `${JSON.stringify(options)}}.`,
  ];
}

const invalid = (message: string): GantryError => new GantryError("invalid", message);
