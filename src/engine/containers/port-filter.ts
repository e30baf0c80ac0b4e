// The filters `publish` and `expose` of `ps`, as dockerd means them: `publish` is a port of the
// host, `expose` one of the container; a container that has one of either is shown, and only what
// runs in a network has any.

import { GantryError } from "../../base/index.ts";
import type { Filters } from "../contract.ts";

interface PortRange {
  first: number;
  last: number;
  protocol: string;
}
export interface PortFilters {
  publish: PortRange[];
  expose: PortRange[];
}

/** Throws invalid with docker's wording; undefined where no filter speaks of ports. */
export function parsePortFilters(filters: Filters): PortFilters | undefined {
  const publish = (filters.get("publish") ?? []).map((value) => parseRange("publish", value));
  const expose = (filters.get("expose") ?? []).map((value) => parseRange("expose", value));
  return publish.length + expose.length > 0 ? { publish, expose } : undefined;
}

type Ports = Record<string, { HostPort: string }[] | null>;

/** `ports` as inspect shows them: "80/tcp" → the host's sides, null where it is only exposed. */
export function matchesPorts(ports: Ports, { publish, expose }: PortFilters): boolean {
  const within = (ranges: readonly PortRange[], port: number, protocol: string): boolean =>
    ranges.some((r) => r.protocol === protocol && port >= r.first && port <= r.last);
  return Object.entries(ports).some(([key, bindings]) => {
    const [port, protocol = "tcp"] = key.split("/");
    return (
      within(expose, Number(port), protocol) ||
      (bindings ?? []).some(({ HostPort }) => within(publish, Number(HostPort), protocol))
    );
  });
}

/** "80", "80/udp" or "8000-8010/tcp". */
function parseRange(key: string, value: string): PortRange {
  if (value.includes(":")) {
    throw new GantryError("invalid", `filter for '${key}' should not contain ':': ${value}`);
  }
  const [range = "", protocol = "tcp"] = value.split("/");
  const bad = (why: string): GantryError =>
    new GantryError("invalid", `error while looking up for ${key} ${value}: ${why}`);
  const number = (text: string): number => {
    const quoted = `strconv.ParseUint: parsing ${JSON.stringify(text)}`;
    if (!/^\d+$/.test(text)) throw bad(`${quoted}: invalid syntax`);
    if (Number(text) > 65_535) throw bad(`${quoted}: value out of range`);
    return Number(text);
  };
  if (range === "") throw bad("empty string specified for ports");
  const dash = range.indexOf("-");
  const first = number(dash < 0 ? range : range.slice(0, dash));
  const last = dash < 0 ? first : number(range.slice(dash + 1));
  if (last < first) throw bad(`invalid range specified for port: ${range}`);
  return { first, last, protocol: protocol.toLowerCase() };
}
