// The environment of a container with links on the default bridge: what it tells of those that it
// is linked to. Docker 29 leaves these variables out; images of that time read them.

import type { EngineContext } from "../context.ts";
import { linkEnv } from "./link-env.ts";
import { linksOf } from "./links.ts";
import { parsePort } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

export function linkVariables(engine: EngineContext, c: ContainerRecord): string[] {
  return linksOf(engine, c).flatMap(({ alias, target, address }) =>
    linkEnv({
      alias,
      linkName: `/${c.name}/${alias}`,
      address,
      ports: Object.keys(target.config.ExposedPorts ?? {}).map(parsePort),
      env: target.config.Env ?? [],
    }),
  );
}
