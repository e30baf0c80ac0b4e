// Where a container's cgroups are: one folder in each hierarchy. Controllers are found by what
// mountinfo says, never by a folder's name; co-mounted controllers share one folder; a hybrid
// host gets a folder in the unified hierarchy too, for cgroup.kill and what only v2 carries.

import { GantryError } from "../../base/index.ts";
import type { CgroupLayout } from "../contract.ts";

export interface CgroupPlace {
  version: 1 | 2;
  /** Mount point of the hierarchy. */
  mount: string;
  /** Absolute folder of the container. */
  path: string;
  controllers: readonly string[];
  /** Absolute folders between the mount and the container's own, outermost first. */
  ancestors: readonly string[];
}

const DEFAULT_PARENT = "/gantry";

/** The cgroup path of a container under a parent ("" is the default one): "/gantry/<id>". */
export function cgroupPathFor(id: string, parent = ""): string {
  if (parent.endsWith(".slice")) {
    throw new GantryError(
      "invalid",
      `cgroup-parent ${JSON.stringify(parent)} is a systemd slice, and the systemd cgroup driver ` +
        "is not available: name a cgroup path instead",
    );
  }
  return `${cleanPath(parent === "" ? DEFAULT_PARENT : parent)}/${id}`;
}

/** Resolves "." and ".." lexically; the result starts with "/" and never leaves it. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.length === 0 ? "" : `/${parts.join("/")}`;
}

/** One place for each hierarchy of the host. */
export function cgroupPlaces(layout: CgroupLayout, cgroupsPath: string): CgroupPlace[] {
  const relative = cleanPath(cgroupsPath);
  if (relative === "") {
    throw new GantryError("invalid", `invalid cgroup path ${JSON.stringify(cgroupsPath)}`);
  }
  const mounts = new Map<string, string[]>();
  for (const [controller, mount] of layout.v1) {
    // Other named hierarchies belong to whoever made them.
    if (controller.startsWith("name=") && controller !== "name=systemd") continue;
    mounts.set(mount, [...(mounts.get(mount) ?? []), controller]);
  }
  const places = [...mounts].map(([mount, controllers]) => place(1, mount, relative, controllers));
  if (layout.v2) places.push(place(2, layout.v2.path, relative, layout.v2.controllers));
  return places;
}

function place(
  version: 1 | 2,
  mount: string,
  relative: string,
  controllers: readonly string[],
): CgroupPlace {
  const parts = relative.split("/").slice(1, -1);
  const ancestors = parts.map((_, i) => `${mount}/${parts.slice(0, i + 1).join("/")}`);
  return { version, mount, path: mount + relative, controllers, ancestors };
}

/** Controller → folder, as records keep it; the unified hierarchy has the key "". */
export function cgroupPathsOf(places: readonly CgroupPlace[]): Record<string, string> {
  const paths: Record<string, string> = {};
  for (const { version, path, controllers } of places) {
    if (version === 2) paths[""] = path;
    else for (const controller of controllers) paths[controller] = path;
  }
  return paths;
}
