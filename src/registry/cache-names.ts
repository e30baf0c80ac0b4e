// From a name of ours to an upstream's repository. The longest prefix counts. On Docker Hub a name
// of one part is one of library's; both spellings are kept under one name.

import type { CacheUpstream } from "./cache-options.ts";

export interface UpstreamPlace {
  upstream: CacheUpstream;
  /** Under which it is kept here. */
  name: string;
  /** As the upstream calls it. */
  repository: string;
}

/** Undefined for a name that no upstream has. */
export function upstreamPlace(
  upstreams: readonly CacheUpstream[],
  name: string,
): UpstreamPlace | undefined {
  let found: CacheUpstream | undefined;
  for (const upstream of upstreams) {
    const { prefix } = upstream;
    if (prefix !== "" && !name.startsWith(`${prefix}/`)) continue;
    if (found === undefined || prefix.length > found.prefix.length) found = upstream;
  }
  if (found === undefined) return undefined;
  const { prefix } = found;
  const asked = prefix === "" ? name : name.slice(prefix.length + 1);
  const repository = isHub(found) && !asked.includes("/") ? `library/${asked}` : asked;
  return {
    upstream: found,
    repository,
    name: prefix === "" ? repository : `${prefix}/${repository}`,
  };
}

/** Under which name of ours `name` of a ?ns= is; undefined for a namespace that nobody serves. */
export function nameInNamespace(
  upstreams: readonly CacheUpstream[],
  namespace: string,
  name: string,
): string | undefined {
  const found = upstreams.find(({ registry, namespaces = [registry] }) =>
    namespaces.includes(namespace),
  );
  if (found === undefined) return undefined;
  return found.prefix === "" ? name : `${found.prefix}/${name}`;
}

export function isHub({ registry }: CacheUpstream): boolean {
  return registry === "docker.io" || registry === "index.docker.io";
}
