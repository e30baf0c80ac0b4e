// GET /containers/{id}/json as dockerd answers it, for old and new API versions.

import type { Container } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";
import { renderContainerConfig } from "./container-config.ts";
import { renderEndpoint } from "./endpoint.ts";
import { renderHostConfig } from "./host-config.ts";

export function renderContainerInspect(
  container: Container,
  version: ApiVersion,
): Record<string, unknown> {
  const { sizes, imageManifest, state } = container;
  return {
    Id: container.id,
    Created: container.created,
    Path: container.path,
    Args: container.args,
    State: state,
    Image: container.imageId,
    ResolvConfPath: container.resolvConfPath,
    HostnamePath: container.hostnamePath,
    HostsPath: container.hostsPath,
    LogPath: container.logPath,
    ...(container.logShipping && { LogShipping: container.logShipping }),
    Name: `/${container.name}`,
    RestartCount: container.restartCount,
    Driver: container.driver,
    Platform: container.platform,
    ...(imageManifest && version.atLeast("1.48") ? { ImageManifestDescriptor: imageManifest } : {}),
    MountLabel: container.mountLabel,
    ProcessLabel: container.processLabel,
    AppArmorProfile: container.appArmorProfile,
    ExecIDs: container.execIds.length > 0 ? container.execIds : null,
    HostConfig: renderHostConfig(container.hostConfig),
    GraphDriver: { Data: graphData(container), Name: container.driver },
    ...(sizes ? { SizeRw: sizes.rw, SizeRootFs: sizes.rootFs } : {}),
    Mounts: container.mounts,
    Config: renderContainerConfig(container.config, version),
    NetworkSettings: networkSettings(container, version),
  };
}

function graphData({ graph, id }: Container): Record<string, string> {
  return {
    ID: id,
    LowerDir: graph.lowerDirs.join(":"),
    MergedDir: graph.mergedDir,
    UpperDir: graph.upperDir,
    WorkDir: graph.workDir,
  };
}

function networkSettings(container: Container, version: ApiVersion): Record<string, unknown> {
  const networks: Record<string, EndpointSettings> = {};
  for (const [name, endpoint] of Object.entries(container.networks)) {
    networks[name] = renderEndpoint(endpoint, version);
  }
  const { sandbox, ports } = container;
  const common = { SandboxID: sandbox.id, SandboxKey: sandbox.key, Ports: ports };
  if (version.atLeast("1.52")) return { ...common, Networks: networks };
  const bridge = networks["bridge"];
  return {
    Bridge: "",
    ...common,
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.EndpointID ?? "",
    Gateway: bridge?.Gateway ?? "",
    GlobalIPv6Address: bridge?.GlobalIPv6Address ?? "",
    GlobalIPv6PrefixLen: bridge?.GlobalIPv6PrefixLen ?? 0,
    IPAddress: bridge?.IPAddress ?? "",
    IPPrefixLen: bridge?.IPPrefixLen ?? 0,
    IPv6Gateway: bridge?.IPv6Gateway ?? "",
    MacAddress: bridge?.MacAddress ?? "",
    Networks: networks,
  };
}
