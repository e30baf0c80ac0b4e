// What a container is called on a network that users made, for the resolver and for inspect.

import { randomBytes } from "node:crypto";
import type { AttachmentRecord, EndpointDns } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import { upstreamsOf } from "./container-files.ts";
import type { ContainerRecord } from "./record.ts";

const SHORT_ID_HEX = 12;
const FULL_ID = /^[0-9a-f]{64}$/;
const PREDEFINED = ["bridge", "host", "none"];

/** As inspect shows them; null where names mean nothing. */
export function dnsNames(c: ContainerRecord, network: string): string[] | null {
  if (PREDEFINED.includes(network)) return null;
  const aliases = c.endpoints[network]?.Aliases ?? [];
  const names = [c.name, ...aliases, c.id.slice(0, SHORT_ID_HEX), c.config.Hostname ?? ""];
  return [...new Set(names.filter((name) => name !== ""))];
}

/** Every name is also known with the network's behind it. */
export function answeredNames(
  c: ContainerRecord,
  network: string,
): Pick<EndpointDns, "names" | "pointer"> {
  const names = dnsNames(c, network) ?? [];
  return {
    names: [...names, ...names.map((name) => `${name}.${network}`)].filter(isAskable),
    pointer: `${c.name}.${network}`,
  };
}

/** Spaces and line ends have no place in the resolver's protocol, and in no name. */
const isAskable = (name: string): boolean => /^[\x21-\x7e]{1,253}$/.test(name);

/** For a container's network: `others` are those of the same run that are attached already. */
export function endpointDns(
  engine: EngineContext,
  c: ContainerRecord,
  network: { Name: string; [field: string]: unknown },
  others: readonly AttachmentRecord[],
): { dns: EndpointDns; opensResolver: boolean } | undefined {
  if (PREDEFINED.includes(network.Name)) return undefined;
  const known = others.find(({ dns }) => dns)?.dns;
  const links = linksOn(c, network.Name);
  const dns: EndpointDns = {
    sandbox: known?.sandbox ?? `${c.id.slice(0, SHORT_ID_HEX)}-${randomBytes(8).toString("hex")}`,
    ...answeredNames(c, network.Name),
    // A container that has internal networks only asks nobody outside.
    servers: network["Internal"] === true ? [] : upstreamsOf(engine, c),
    ...(Object.keys(links).length > 0 && { links }),
    ...(c.run && { pid: c.run.pid }),
  };
  return { dns, opensResolver: known === undefined };
}

/** What --link says of this network ("NAME:ALIAS"): alias → the name that it stands for. */
function linksOn(c: ContainerRecord, network: string): Record<string, string> {
  const links: Record<string, string> = {};
  for (const text of c.endpoints[network]?.Links ?? []) {
    const [name = "", alias = name] = text.split(":");
    if (![name, alias].every((word) => /^[^\s=,]+$/.test(word))) continue;
    links[alias] = FULL_ID.test(name) ? name.slice(0, SHORT_ID_HEX) : name;
  }
  return links;
}
