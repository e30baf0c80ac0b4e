// From the body of POST /containers/create to the engine's request: what dockerd's API layer does
// for clients of older API versions, and the checks that it makes before the engine sees anything.

import { GantryError } from "../base/index.ts";
import type { CreateRequest } from "../engine/index.ts";
import type { ApiVersion, CreateBody } from "../protocol/index.ts";
import type {
  ContainerConfig,
  EndpointSettings,
  HostConfig,
  MountRequest,
  NetworkingConfig,
} from "../spec/index.ts";
import { moveInterfaceSysctls } from "./interface-sysctls.ts";

/** Returns the request and warnings for the answer; throws invalid in dockerd's words. */
export function toCreateRequest(
  body: CreateBody | undefined,
  query: { name?: string | undefined; platform?: string | undefined },
  version: ApiVersion,
): { request: CreateRequest; warnings: string[] } {
  if (body === undefined) {
    throw invalid("invalid JSON: got EOF while reading request body");
  }
  const { HostConfig: host = {}, NetworkingConfig: networking = {}, ...config } = body;
  if (Object.keys(config).length === 0) {
    throw invalid("config cannot be empty in order to create a container");
  }
  const endpoints = endpointsOf(networking);
  nameDefaultNetwork(host, endpoints);
  forgetNewerOptions(host, config, endpoints, version);
  for (const mount of host.Mounts ?? []) checkMount(mount, version);
  checkEndpoints(endpoints, version);
  const warnings = [
    ...moveMacAddress(config, host, endpoints, version),
    ...fillPortBindings(host, version),
    ...volumeDriverWarning(host, version),
    ...moveInterfaceSysctls(host, endpoints, version),
  ];
  if (host.PidsLimit != null && host.PidsLimit <= 0) host.PidsLimit = null;
  const platform = version.atLeast("1.41") ? query.platform : undefined;
  return {
    warnings,
    request: {
      ...(query.name ? { name: query.name } : {}),
      ...(platform ? { platform } : {}),
      config,
      hostConfig: host,
      networkingConfig: { EndpointsConfig: endpoints },
    },
  };
}

type Endpoints = Record<string, EndpointSettings>;

function endpointsOf(networking: NetworkingConfig): Endpoints {
  const all = Object.entries(networking.EndpointsConfig ?? {});
  const copied = all.map(([name, settings]): [string, EndpointSettings] => {
    if (settings !== null) return [name, { ...settings }];
    throw invalid(`invalid config for network ${name}: EndpointsConfig is nil`);
  });
  return Object.fromEntries(copied);
}

function nameDefaultNetwork(host: HostConfig, endpoints: Endpoints): void {
  if (host.NetworkMode !== undefined && host.NetworkMode !== "" && host.NetworkMode !== "default") {
    return;
  }
  host.NetworkMode = "bridge";
  const settings = endpoints["default"];
  if (settings === undefined) return;
  endpoints["bridge"] = settings;
  delete endpoints["default"];
}

function forgetNewerOptions(
  host: HostConfig,
  config: ContainerConfig,
  endpoints: Endpoints,
  version: ApiVersion,
): void {
  if (version.below("1.25")) host.AutoRemove = false;
  if (version.below("1.40")) {
    delete host.KernelMemoryTCP;
    host.IpcMode ||= "shareable";
  }
  if (version.below("1.42")) host.ConsoleSize = [0, 0];
  if (version.below("1.43")) delete host.Annotations;
  if (version.below("1.44") && config.Healthcheck) delete config.Healthcheck.StartInterval;
  if (version.below("1.48")) {
    for (const endpoint of Object.values(endpoints)) delete endpoint.GwPriority;
  }
  for (const mount of host.Mounts ?? []) forgetNewerMountOptions(mount, version);
}

function forgetNewerMountOptions(mount: MountRequest, version: ApiVersion): void {
  const bind = mount.BindOptions;
  if (bind && version.below("1.40")) bind.NonRecursive = false;
  if (version.below("1.42")) {
    if (bind) bind.CreateMountpoint = false;
    if (mount.Type !== "volume") delete mount.VolumeOptions;
    if (mount.Type !== "tmpfs") delete mount.TmpfsOptions;
  }
  // Before 1.44 a read-only bind was not recursively read-only.
  if (version.below("1.44") && mount.Type === "bind" && mount.ReadOnly) {
    if (bind?.ReadOnlyForceRecursive) {
      throw invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
    }
    mount.BindOptions = { ...bind, ReadOnlyNonRecursive: true };
  }
}

function checkMount(mount: MountRequest, version: ApiVersion): void {
  const options = [
    ["VolumeOptions", "volume"],
    ["BindOptions", "bind"],
    ["TmpfsOptions", "tmpfs"],
  ] as const;
  for (const [field, type] of options) {
    if (mount[field] && mount.Type !== type && version.atLeast("1.42")) {
      throw invalid(`${field} must not be specified on mount type ${JSON.stringify(mount.Type)}`);
    }
  }
  if (mount.VolumeOptions?.Subpath && version.below("1.45")) {
    throw invalid("VolumeOptions.Subpath needs API v1.45 or newer");
  }
  if (mount.Type === "image" && version.below("1.48")) {
    throw invalid('Mount type "Image" needs API v1.48 or newer');
  }
}

function checkEndpoints(endpoints: Endpoints, version: ApiVersion): void {
  const names = Object.keys(endpoints);
  if (names.length > 1 && version.below("1.44")) {
    throw invalid(
      `Container cannot be created with multiple network endpoints: ${names.join(", ")}`,
    );
  }
}

/** The container-wide MAC address of API < 1.44 belongs to the endpoint of its main network. */
function moveMacAddress(
  config: ContainerConfig,
  host: HostConfig,
  endpoints: Endpoints,
  version: ApiVersion,
): string[] {
  const address = config.MacAddress ?? "";
  delete config.MacAddress;
  const mode = host.NetworkMode ?? "bridge";
  const takesAddress = !["host", "none"].includes(mode) && !mode.startsWith("container:");
  if (address === "") {
    if (version.below("1.44")) {
      for (const endpoint of Object.values(endpoints)) delete endpoint.MacAddress;
    }
    return [];
  }
  if (!takesAddress && version.below("1.44")) {
    throw invalid("conflicting options: mac-address and the network mode");
  }
  if (takesAddress) {
    const endpoint = mainEndpoint(endpoints, mode, version);
    if (endpoint.MacAddress && endpoint.MacAddress !== address) {
      throw invalid(
        "the container-wide MAC address must match the endpoint-specific MAC address for the " +
          "main network, or be left empty",
      );
    }
    endpoint.MacAddress = address;
  }
  return version.below("1.44")
    ? []
    : [
        "The container-wide MacAddress field is now deprecated. " +
          "It should be specified in EndpointsConfig instead.",
      ];
}

function mainEndpoint(endpoints: Endpoints, mode: string, version: ApiVersion): EndpointSettings {
  const names = Object.keys(endpoints);
  if (names.length === 0) return (endpoints[mode] = {});
  const name = version.below("1.44") ? names[0]! : mode;
  const endpoint = endpoints[name];
  if (endpoint !== undefined) return endpoint;
  throw invalid(
    "unable to migrate container-wide MAC address to a specific network: " +
      "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks",
  );
}

/** An empty list of bindings meant "any free port" until API 1.52, and means nothing since. */
function fillPortBindings(host: HostConfig, version: ApiVersion): string[] {
  const bindings = host.PortBindings ?? {};
  const emptyPorts = Object.keys(bindings).filter((port) => !bindings[port]?.length);
  if (version.atLeast("1.53")) {
    for (const port of emptyPorts) delete bindings[port];
    return [];
  }
  for (const port of emptyPorts) bindings[port] = [{ HostIp: "", HostPort: "" }];
  if (emptyPorts.length === 0 || version.below("1.52")) return [];
  return [
    `Following container port(s) have an empty list of port-bindings: ${emptyPorts.join(", ")}. ` +
      "Starting with API 1.53, such bindings will be discarded.",
  ];
}

function volumeDriverWarning(host: HostConfig, version: ApiVersion): string[] {
  if (!host.VolumeDriver || version.below("1.48")) return [];
  const ignored = (host.Mounts ?? []).some(
    (mount) => mount.Type === "volume" && !mount.VolumeOptions?.DriverConfig?.Name,
  );
  if (!ignored) return [];
  return [
    "WARNING: the container-wide volume-driver configuration is ignored for volumes specified " +
      "via 'mount'. Use '--mount type=volume,volume-driver=...' instead",
  ];
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
