// Names of systemd's units for cgroups, and where their folders are. A container's cgroup is a
// scope in a slice; a slice's name tells its parents ("a-b.slice" lies in "a.slice"). Source:
// systemd.slice(5), systemd.scope(5), and runc's docs/systemd.md for "slice:prefix:name".

import { GantryError } from "../base/index.ts";

export interface Scope {
  slice: string;
  /** "prefix-name.scope". */
  unit: string;
  /** Of its cgroup, from the root of the hierarchy. */
  path: string;
}

const DEFAULT_SLICE = "system.slice";
/** systemd.unit(5); a name's length is at most 255. */
const UNIT_NAME = /^[A-Za-z0-9:_.\\@-]{1,255}$/;

/** Of an OCI cgroupsPath as it is with the systemd driver: "slice:prefix:name"; throws invalid. */
export function scopeOf(cgroupsPath: string): Scope {
  const parts = cgroupsPath.split(":");
  if (parts.length !== 3) {
    throw new GantryError(
      "invalid",
      `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, ` +
        `got ${JSON.stringify(cgroupsPath)} instead`,
    );
  }
  const [given, prefix, name] = parts as [string, string, string];
  const slice = given === "" ? DEFAULT_SLICE : given;
  // runc would make a slice of it: one is others' too, and deleting the container would end them.
  if (name.endsWith(".slice")) {
    throw new GantryError("not-implemented", `a container's cgroup is a scope, not ${name}`);
  }
  const unit = prefix === "" ? `${name}.scope` : `${prefix}-${name}.scope`;
  if (name === "" || !UNIT_NAME.test(unit)) {
    throw new GantryError("invalid", `invalid name of a systemd unit: ${JSON.stringify(unit)}`);
  }
  return { slice, unit, path: `${sliceFolder(slice)}/${unit}` };
}

/** "/a.slice/a-b.slice" of "a-b.slice", "" of the root slice "-.slice"; throws invalid. */
export function sliceFolder(slice: string): string {
  if (slice === "-.slice") return "";
  const parts = slice.endsWith(".slice") ? slice.slice(0, -".slice".length).split("-") : [""];
  if (parts.includes("") || !UNIT_NAME.test(slice)) {
    throw new GantryError("invalid", `invalid slice name: ${slice}`);
  }
  return parts.map((_, n) => `/${parts.slice(0, n + 1).join("-")}.slice`).join("");
}
