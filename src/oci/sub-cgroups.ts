// exec --cgroup: cgroups that are in the container's own, one for all controllers or by name.

import { posix } from "node:path";
import { GantryError } from "../base/index.ts";

type Paths = Readonly<Record<string, string>>;

/** The folders that a process enters. Throws invalid for a place outside the container's own. */
export function subCgroups(paths: Paths, wanted: readonly string[]): Paths {
  const result = { ...paths };
  for (const [controller, sub] of parse(wanted)) {
    if (controller === "") {
      for (const [name, path] of Object.entries(paths)) result[name] = beneath(path, sub);
      continue;
    }
    const path = paths[controller];
    if (path === undefined) {
      throw new GantryError("invalid", `unknown controller ${controller} in SubCgroupPaths`);
    }
    result[controller] = beneath(path, sub);
  }
  return result;
}

function beneath(path: string, sub: string): string {
  const joined = posix.join(path, sub).replace(/\/$/, "");
  if (joined === path || joined.startsWith(`${path}/`)) return joined;
  throw new GantryError("invalid", `${joined} is not a sub cgroup path`);
}

function parse(wanted: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const text of wanted) {
    const colon = text.indexOf(":");
    if (colon < 0 && wanted.length > 1) {
      throw refused(text, " (missing <controller>: prefix)");
    }
    const controllers = colon < 0 ? [""] : text.slice(0, colon).split(",");
    for (const controller of controllers) {
      if (colon >= 0 && controller === "") throw refused(text, " (empty <controller> prefix)");
      if (found.has(controller)) {
        throw new GantryError(
          "invalid",
          `invalid --cgroup argument(s): controller ${controller} specified multiple times`,
        );
      }
      found.set(controller, text.slice(colon + 1));
    }
  }
  return found;
}

const refused = (text: string, why: string): GantryError =>
  new GantryError("invalid", `invalid --cgroup argument: ${text}${why}`);
