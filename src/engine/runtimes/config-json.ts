// The config.json of a bundle, from the OCI configuration of a container: without what our plan has
// done already (the network namespace and its sysctls, mounts that are no path of the host), and
// with numbers that JSON cannot hold exactly written out. Pure.

import { stringifyExactJson } from "../../base/index.ts";
import { foreignSource, isPrepared } from "../../runtime/index.ts";
import type { OciMount, OciSpec } from "../../spec/index.ts";

/** runtime-spec's unlimited, of rlimits. */
const UNLIMITED = 18446744073709551615n;

/** Some take no other than 1.0 (crun 1.8); what is newer they read or, as the specification says,
 * pass over. */
const VERSION = "1.0.2";

export function configJson(spec: OciSpec, bundle: string): string {
  const { process, linux } = spec;
  const own = linux?.namespaces?.some(({ type, path }) => type === "network" && !path) ?? false;
  const mounts = spec.mounts?.map((mount, index): OciMount => {
    if (!isPrepared(mount)) return mount;
    const { destination, type = "bind", options = [] } = mount;
    return { destination, type, options, source: foreignSource(bundle, index) };
  });
  const config = {
    ...spec,
    ociVersion: VERSION,
    ...(mounts && { mounts }),
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
