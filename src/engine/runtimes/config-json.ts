// The config.json of a bundle, from the OCI configuration of a container: without what our plan has
// done already (the network namespace and its sysctls), and with numbers that JSON cannot hold
// exactly written out. Pure.

import { GantryError, stringifyExactJson } from "../../base/index.ts";
import type { OciSpec } from "../../spec/index.ts";

/** runtime-spec's unlimited, of rlimits. */
const UNLIMITED = 18446744073709551615n;

export function configJson(spec: OciSpec): string {
  for (const { destination, layers, subpath } of spec.mounts ?? []) {
    if (!layers && !subpath) continue;
    throw new GantryError(
      "not-implemented",
      `the mount at ${destination} is of an image or a part of a volume, which other runtimes ` +
        "cannot make: use the one that is built in (--runtime runc)",
    );
  }
  const { process, linux } = spec;
  const own = linux?.namespaces?.some(({ type, path }) => type === "network" && !path) ?? false;
  const config = {
    ...spec,
    process: process && {
      ...process,
      rlimits: process.rlimits?.map(({ type, soft, hard }) => ({
        type,
        soft: limit(soft),
        hard: limit(hard),
      })),
    },
    linux: linux && {
      ...linux,
      // It is in the namespace that the runtime itself was started in.
      namespaces: linux.namespaces?.filter(({ type, path }) => type !== "network" || path),
      sysctl: own ? withoutNetwork(linux.sysctl) : linux.sysctl,
    },
  };
  return stringifyExactJson(config);
}

const limit = (value: number | bigint): number | bigint =>
  value < 0 || value >= 2 ** 63 ? UNLIMITED : value;

function withoutNetwork(sysctls: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(sysctls).filter(([name]) => !/^net[./]/.test(name)));
}
