// Which CDI devices a container's requests mean: `--device vendor.com/class=name`, and `--gpus`
// where the GPUs of the machine are described by CDI specs. Pure; the wording is dockerd's.

import { GantryError } from "../../base/index.ts";
import type { DeviceRequest } from "../../spec/index.ts";
import type { DeviceRegistry } from "./registry.ts";

/** What `--gpus` may ask for of a vendor, and where that vendor's tool describes the devices. */
const GPU_DRIVERS = [
  {
    driver: "nvidia",
    kind: "nvidia.com/gpu",
    capabilities: [
      "gpu",
      "nvidia",
      "compute",
      "compat32",
      "graphics",
      "utility",
      "video",
      "display",
    ],
  },
  { driver: "amd", kind: "amd.com/gpu", capabilities: ["gpu", "amd"] },
];

/** Qualified names, each once. Throws invalid. */
export function requestedNames(
  requests: readonly DeviceRequest[],
  registry: DeviceRegistry,
): string[] {
  return [...new Set(requests.flatMap((request) => namesOf(request, registry)))];
}

function namesOf(request: DeviceRequest, registry: DeviceRegistry): string[] {
  const { Driver: driver = "", Count: count = 0, DeviceIDs: ids, Options: options } = request;
  if (driver === "cdi") {
    if (count !== 0) throw bad("unexpected count in CDI device request");
    if (Object.keys(options ?? {}).length > 0) {
      throw bad("unexpected options in CDI device request");
    }
    return ids ?? [];
  }
  const found = GPU_DRIVERS.find(
    (known) =>
      (driver === "" || driver === known.driver) &&
      matches(known.capabilities, request.Capabilities ?? []) &&
      [...registry.devices.keys()].some((name) => name.startsWith(`${known.kind}=`)),
  );
  if (!found) {
    const wanted = (request.Capabilities ?? []).map((all) => `[${all.join(" ")}]`).join(" ");
    throw bad(
      `could not select device driver ${JSON.stringify(driver)} with capabilities: [${wanted}]`,
    );
  }
  if (Object.keys(options ?? {}).length > 0) {
    throw bad(`options of ${found.driver} devices are not supported: CDI knows none`);
  }
  if (count !== 0 && ids?.length)
    throw bad("cannot set both Count and DeviceIDs on device request");
  const there = [...registry.devices.keys()].filter((name) => name.startsWith(`${found.kind}=`));
  // One more than there are names the first that is missing.
  return gpus(found.kind, Math.min(count, there.length + 1), ids ?? []);
}

function gpus(kind: string, count: number, ids: readonly string[]): string[] {
  if (ids.length > 0) return ids.map((id) => `${kind}=${id}`);
  if (count < 0) return [`${kind}=all`];
  return Array.from({ length: count }, (_, index) => `${kind}=${index}`);
}

/** One of the alternatives asks for nothing that the driver does not know. */
const matches = (known: readonly string[], wanted: readonly (readonly string[])[]): boolean =>
  wanted.some((all) => all.every((capability) => known.includes(capability)));

const bad = (message: string): GantryError => new GantryError("invalid", message);
