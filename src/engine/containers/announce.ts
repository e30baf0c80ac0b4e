// Events of containers, in docker's shape: the image, the name and every label, then what the
// action adds.

import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";

export function announce(
  engine: EngineContext,
  c: ContainerRecord,
  action: string,
  attributes: Record<string, string | undefined> = {},
): void {
  const labels = c.config.Labels ?? {};
  const name = c.name;
  const shared = { ...labels, image: c.config.Image ?? c.imageName, name };
  engine.bus.publish("container", action, c.id, { ...shared, ...attributes });
}

/** A command as these events have it: docker leaves the space where nothing follows. */
export const commandLine = ([program = "", ...rest]: readonly string[]): string =>
  `${program} ${rest.join(" ")}`;

export function announceVolume(
  engine: EngineContext,
  action: "create" | "mount" | "unmount" | "update" | "destroy",
  name: string,
  attributes: Record<string, string> = {},
): void {
  const driver = engine.volumes.get(name)?.driver ?? "local";
  engine.bus.publish("volume", action, name, { driver, ...attributes });
}

/** What a run has mounted, before it has its networks. */
export function announceMounts(engine: EngineContext, c: ContainerRecord): void {
  for (const mount of c.mounts) {
    if (mount.Type !== "volume" || !mount.Name) continue;
    announceVolume(engine, "mount", mount.Name, {
      container: c.id,
      destination: mount.Destination,
      propagation: mount.Propagation,
      "read/write": String(mount.RW),
    });
  }
}

export function announceUnmounts(
  engine: EngineContext,
  c: ContainerRecord,
  names: readonly string[],
): void {
  for (const name of names) announceVolume(engine, "unmount", name, { container: c.id });
}

export function announceNetwork(
  engine: EngineContext,
  action: "create" | "connect" | "disconnect" | "destroy",
  network: { id: string; name: string; type: string },
  containerId?: string,
): void {
  engine.bus.publish("network", action, network.id, {
    container: containerId,
    name: network.name,
    type: network.type,
  });
}
