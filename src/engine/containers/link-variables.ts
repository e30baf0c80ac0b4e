// The environment of a container with links on the default bridge: what it tells of those that it
// is linked to. Docker 29 leaves these variables out; images of that time read them.

import type { EngineContext } from "../context.ts";
import { networkNamed } from "../networks/find.ts";
import { containerOf } from "./host-config.ts";
import { linkEnv } from "./link-env.ts";
import { parseLink } from "./links.ts";
import { parsePort } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

/** A linked container that does not run is left out: a start has refused it before. */
export function linkVariables(engine: EngineContext, c: ContainerRecord): string[] {
  const links = c.hostConfig.Links ?? [];
  const network = networkNamed(engine, "bridge");
  if (links.length === 0 || !network || !("bridge" in c.endpoints)) return [];
  return links.map(parseLink).flatMap(({ name, alias }) => {
    const target = withNetwork(engine, name);
    const ip = target?.run?.attachments.find(({ networkId }) => networkId === network.Id);
    const address = ip?.ipv4?.address ?? ip?.ipv6?.address;
    if (!target || address === undefined) return [];
    return linkEnv({
      alias,
      linkName: `/${c.name}/${alias}`,
      address,
      ports: Object.keys(target.config.ExposedPorts ?? {}).map(parsePort),
      env: target.config.Env ?? [],
    });
  });
}

/** The container that has the network of the named one. */
function withNetwork(engine: EngineContext, ref: string): ContainerRecord | undefined {
  try {
    const found = engine.containers.find(ref);
    const shared = containerOf(found.hostConfig.NetworkMode);
    return shared === undefined ? found : withNetwork(engine, shared);
  } catch {
    return undefined;
  }
}
