// A row of GET /containers/json, and the Status words of `docker ps`.

import { humanDuration } from "../../base/index.ts";
import type { Container, ContainerState } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import { renderEndpoint } from "./endpoint.ts";

export function renderContainerSummary(
  container: Container,
  version: ApiVersion,
  now = Date.now(),
): Record<string, unknown> {
  const { sizes, imageManifest, state, hostConfig } = container;
  const annotations = hostConfig.Annotations ?? {};
  const networks = Object.entries(container.networks).map(([name, endpoint]) => [
    name,
    renderEndpoint(endpoint, version),
  ]);
  return {
    Id: container.id,
    Names: [container.name, ...(container.linkNames ?? [])].map((name) => `/${name}`).sort(),
    Image: container.imageShown,
    ImageID: container.imageId,
    ...(imageManifest && version.atLeast("1.48") ? { ImageManifestDescriptor: imageManifest } : {}),
    Command: commandOf(container),
    Created: Math.floor(Date.parse(container.created) / 1000),
    Ports: portsOf(container),
    ...(sizes?.rw ? { SizeRw: sizes.rw } : {}),
    ...(sizes?.rootFs ? { SizeRootFs: sizes.rootFs } : {}),
    Labels: container.config.Labels ?? {},
    State: state.Status,
    Status: statusText(state, now),
    ...(state.Reason && { Reason: state.Reason }),
    HostConfig: {
      NetworkMode: hostConfig.NetworkMode || "default",
      ...(version.atLeast("1.46") && Object.keys(annotations).length > 0
        ? { Annotations: annotations }
        : {}),
    },
    ...(state.Health && version.atLeast("1.52") ? { Health: healthOf(state) } : {}),
    NetworkSettings: { Networks: Object.fromEntries(networks) },
    Mounts: container.mounts,
  };
}

function healthOf({ Health }: ContainerState): object {
  return { Status: Health?.Status ?? "none", FailingStreak: Health?.FailingStreak ?? 0 };
}

/** Path and arguments; arguments with a space are quoted, as dockerd does. */
function commandOf({ path, args }: Container): string {
  if (args.length === 0) return path;
  return `${path} ${args.map((word) => (word.includes(" ") ? `'${word}'` : word)).join(" ")}`;
}

interface PortSummary {
  IP?: string;
  PrivatePort: number;
  PublicPort?: number;
  Type: string;
}

function portsOf({ ports }: Container): PortSummary[] {
  return Object.entries(ports).flatMap(([key, bindings]): PortSummary[] => {
    const [port = "", protocol = "tcp"] = key.split("/");
    const inner = { PrivatePort: Number(port), Type: protocol };
    if (!bindings?.length) return [inner];
    return bindings.map(({ HostIp, HostPort }) => ({
      ...(HostIp === "" ? {} : { IP: HostIp }),
      PrivatePort: inner.PrivatePort,
      PublicPort: Number(HostPort),
      Type: protocol,
    }));
  });
}

/** "Up 3 minutes (healthy)", "Exited (0) 5 seconds ago", "Created" … */
export function statusText(state: ContainerState, now = Date.now()): string {
  const up = (): string => humanDuration(now - Date.parse(state.StartedAt));
  const ago = (): string => `${humanDuration(now - Date.parse(state.FinishedAt))} ago`;
  if (state.Running) {
    if (state.Paused) return `Up ${up()} (Paused)`;
    if (state.Restarting) return `Restarting (${state.ExitCode}) ${ago()}`;
    const health = healthWord(state.Health?.Status);
    return health === undefined ? `Up ${up()}` : `Up ${up()} (${health})`;
  }
  if (state.Restarting) return `Restarting (${state.ExitCode}) ${ago()}`;
  if (state.Status === "removing") return "Removal In Progress";
  if (state.Dead) return "Dead";
  if (state.StartedAt.startsWith("0001-")) return "Created";
  if (state.FinishedAt.startsWith("0001-")) return "";
  return `Exited (${state.ExitCode}) ${ago()}`;
}

function healthWord(status: string | undefined): string | undefined {
  if (status === undefined || status === "none" || status === "") return undefined;
  return status === "starting" ? "health: starting" : status;
}
