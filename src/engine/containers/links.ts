// --link on the default bridge, where containers have no names for one another: a line in the
// linking container's /etc/hosts, and variables that tell of the linked one (link-variables.ts).
// That one must run; when it is started again with another address, the line follows. On networks
// of users a link is an alias that only the linking container knows (endpoint-names.ts).

import { GantryError } from "../../base/index.ts";
import type { AttachmentRecord } from "../../network/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { networkNamed } from "../networks/find.ts";
import { containerOf, findNamed } from "./host-config.ts";
import { changeHosts } from "./hosts-lines.ts";
import type { ContainerRecord } from "./record.ts";

export const DEFAULT_NETWORK = "bridge";

/** By the id of the linked container, so that a rename changes nothing; `name` is for when it is
 * there no more (absent in records of before that was kept). */
export interface LinkRecord {
  id: string;
  alias: string;
  name?: string;
}

/** "db", "db:alias", or as inspect shows it: "/db:/app/alias". Throws invalid. */
export function parseLink(text: string): { name: string; alias: string } {
  const [name = "", alias = name, ...more] = text.split(":");
  if (name === "" || alias === "" || more.length > 0) {
    throw new GantryError("invalid", `bad format for links: ${text}`);
  }
  return { name: name.replace(/^\//, ""), alias: alias.slice(alias.lastIndexOf("/") + 1) };
}

/** What a container's --link flags mean at its creation; nothing on networks of users. Throws
 * invalid in docker's words. */
export function wantedLinks(engine: EngineContext, host: HostConfig): LinkRecord[] {
  const links = host.Links ?? [];
  const mode = host.NetworkMode ?? DEFAULT_NETWORK;
  const kind = mode === "host" ? "host" : containerOf(mode) !== undefined ? "container" : undefined;
  if (links.length > 0 && kind) throw conflicting(kind);
  if (mode !== DEFAULT_NETWORK) return [];
  return links.map((text) => {
    const { name, alias } = parseLink(text);
    const target = linkable(engine, name);
    if (target.hostConfig.NetworkMode === "host") throw conflicting("host");
    return { id: target.id, alias, name: target.name };
  });
}

/** The container that has the network of the named one. */
function linkable(engine: EngineContext, name: string): ContainerRecord {
  try {
    const found = findNamed(engine, name);
    const shared = containerOf(found.hostConfig.NetworkMode);
    return shared === undefined ? found : linkable(engine, shared);
  } catch (cause) {
    throw new GantryError(
      "invalid",
      `could not get container for ${name}: No such container: ${name}`,
      { cause },
    );
  }
}

const conflicting = (kind: string): GantryError =>
  new GantryError(
    "invalid",
    `conflicting options: ${kind} type networking can't be used with links. This would result in ` +
      "undefined behavior",
  );

/** HostConfig.Links as inspect shows them: "/name:/parent/alias". */
export function shownLinks(engine: EngineContext, c: ContainerRecord): string[] | null {
  const links = (c.links ?? []).flatMap((link) => {
    const name = nameOf(engine, link);
    return name === undefined ? [] : [`/${name}:/${c.name}/${link.alias}`];
  });
  return links.length > 0 ? links : null;
}

const nameOf = (engine: EngineContext, { id, name }: LinkRecord): string | undefined =>
  engine.containers.get(id)?.name ?? name;

/** By the id of a container: what those that link to it call it ("app/db"). */
export function linkNames(engine: EngineContext): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const c of engine.containers.all()) {
    for (const { id, alias } of c.links ?? []) {
      names.set(id, [...(names.get(id) ?? []), `${c.name}/${alias}`]);
    }
  }
  return names;
}

export interface Link {
  alias: string;
  target: ContainerRecord;
  address: string;
}

/** Where the links of a container lead now. At its start, one to a container that does not run, or
 * was removed, is a conflict; later it is left out. */
export function linksOf(
  engine: EngineContext,
  c: ContainerRecord,
  { starting = false }: { starting?: boolean } = {},
): Link[] {
  if (!(DEFAULT_NETWORK in c.endpoints)) return [];
  return (c.links ?? []).flatMap((link) => {
    const { id, alias } = link;
    const target = engine.containers.get(id);
    const address = bridgeAddress(engine, target?.run?.attachments);
    if (target && address !== undefined) return [{ alias, target, address }];
    const name = nameOf(engine, link);
    if (!starting || name === undefined) return [];
    throw new GantryError(
      "conflict",
      target?.run
        ? `Cannot link to /${name}, as it does not belong to the default network`
        : `Cannot link to a non running container: /${name} AS /${c.name}/${alias}`,
    );
  });
}

export function bridgeAddress(
  engine: EngineContext,
  attachments: readonly AttachmentRecord[] | undefined,
): string | undefined {
  const id = networkNamed(engine, DEFAULT_NETWORK)?.Id;
  const record = attachments?.find(({ networkId }) => networkId === id);
  return record?.ipv4?.address ?? record?.ipv6?.address;
}

/** The lines of /etc/hosts for its links. */
export const linkLines = (engine: EngineContext, c: ContainerRecord): string[] =>
  linksOf(engine, c).map(
    ({ alias, target, address }) => `${address}\t${hostsNames(alias, target)}`,
  );

const hostsNames = (alias: string, { config, name }: ContainerRecord): string =>
  [...new Set([alias, config.Hostname ?? "", name])].filter((one) => one !== "").join(" ");

/** A container that starts may have another address than those that link to it know. */
export async function tellLinkingContainers(
  engine: EngineContext,
  c: ContainerRecord,
  records: readonly AttachmentRecord[],
): Promise<void> {
  const address = bridgeAddress(engine, records);
  if (address === undefined) return;
  for (const other of engine.containers.all()) {
    const own = (other.run && other.links?.filter(({ id }) => id === c.id)) || [];
    if (own.length === 0) continue;
    const lines = new Map(
      own.map(({ alias }) => [hostsNames(alias, c), `${address}\t${hostsNames(alias, c)}`]),
    );
    const change = (line: string) => lines.get(line.slice(line.indexOf("\t") + 1)) ?? line;
    await changeHosts(engine, other, (all) => all.map(change));
  }
}

/** rm --link: "/app/alias" is no container but a link of one. Throws not-found. */
export function removeLink(engine: EngineContext, ref: string): ContainerRecord {
  const [, parent = "", alias = ""] = /^\/?([^/]+)\/([^/]+)$/.exec(ref) ?? [];
  if (parent === "" && engine.containers.byName(ref.replace(/^\//, ""))) {
    const why = "Conflict, cannot remove the default link name of the container";
    throw new GantryError("conflict", why);
  }
  const c = engine.containers.byName(parent);
  const link = c?.links?.find((one) => one.alias === alias);
  if (!c || !link) throw new GantryError("not-found", `No such container: ${ref}`);
  c.links = c.links!.filter((one) => one !== link);
  engine.containers.putFact(c);
  return c;
}
