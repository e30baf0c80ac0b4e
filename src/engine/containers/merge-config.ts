// Merges an image's config into the config of a new container, by dockerd's rules: what the user
// said wins, lists of ports, volumes, labels and environment are united, entrypoint and command
// depend on one another.

import { GantryError } from "../../base/index.ts";
import type { ContainerConfig, HealthConfig } from "../../spec/index.ts";

/** Returns the merged config; throws invalid when nothing is left to run. */
export function mergeConfig(user: ContainerConfig, image: ContainerConfig): ContainerConfig {
  const merged: ContainerConfig = { ...user };
  merged.User = user.User || image.User || "";
  merged.ExposedPorts = union(image.ExposedPorts, user.ExposedPorts);
  merged.Volumes = union(image.Volumes, user.Volumes);
  merged.Env = mergeEnv(user.Env ?? [], image.Env ?? []);
  merged.Labels = { ...image.Labels, ...user.Labels };
  merged.WorkingDir = user.WorkingDir || image.WorkingDir || "";
  merged.StopSignal = user.StopSignal || image.StopSignal || "";
  merged.StopTimeout = user.StopTimeout ?? image.StopTimeout ?? null;
  merged.Shell = user.Shell?.length ? user.Shell : (image.Shell ?? null);
  merged.OnBuild = user.OnBuild ?? null;
  Object.assign(merged, mergeCommand(user, image));
  const health = mergeHealth(user.Healthcheck, image.Healthcheck);
  if (health) merged.Healthcheck = health;
  else delete merged.Healthcheck;
  const command = [...(merged.Entrypoint ?? []), ...(merged.Cmd ?? [])];
  if (command.length === 0) throw new GantryError("invalid", "no command specified");
  return merged;
}

/** An own entrypoint discards the image's command; [""] discards the image's entrypoint. */
function mergeCommand(
  user: ContainerConfig,
  image: ContainerConfig,
): Pick<ContainerConfig, "Entrypoint" | "Cmd"> {
  let entrypoint = user.Entrypoint ?? [];
  let command = user.Cmd ?? [];
  if (entrypoint.length === 0) {
    if (command.length === 0) command = image.Cmd ?? [];
    if (user.Entrypoint == null) entrypoint = image.Entrypoint ?? [];
  }
  if (entrypoint.length === 1 && entrypoint[0] === "") entrypoint = [];
  return {
    Entrypoint: entrypoint.length > 0 ? entrypoint : null,
    Cmd: command.length > 0 ? command : null,
  };
}

function mergeEnv(user: readonly string[], image: readonly string[]): string[] {
  const names = new Set(user.map(nameOf));
  return [...user, ...image.filter((entry) => !names.has(nameOf(entry)))];
}

function mergeHealth(
  user: HealthConfig | null | undefined,
  image: HealthConfig | null | undefined,
): HealthConfig | undefined {
  if (!user) return image ?? undefined;
  if (!image) return user;
  return {
    ...user,
    Test: user.Test?.length ? user.Test : (image.Test ?? []),
    Interval: user.Interval || image.Interval || 0,
    Timeout: user.Timeout || image.Timeout || 0,
    StartPeriod: user.StartPeriod || image.StartPeriod || 0,
    StartInterval: user.StartInterval || image.StartInterval || 0,
    Retries: user.Retries || image.Retries || 0,
  };
}

function union(
  image: Record<string, object> | null | undefined,
  user: Record<string, object> | null | undefined,
): Record<string, object> | null {
  const all = { ...image, ...user };
  return Object.keys(all).length > 0 ? all : null;
}

const nameOf = (entry: string): string => entry.split("=", 1)[0]!;
