// What `cgls` and `cgtop` have in common: which containers are meant, and --format.

import { GantryError } from "../../../base/index.ts";
import type { Cgroups, Group } from "./fetch.ts";

/** The groups of the containers that are named (by name, or by the start of the id), and those
 * within; all where none is named. */
export function matching({ Groups }: Cgroups, names: readonly string[]): Group[] {
  if (names.length === 0) return Groups;
  const roots = names.map((name) => {
    const own = Groups.filter(({ Container }) => Container !== undefined);
    const found =
      own.find(({ Container }) => Container!.Name === name) ??
      own.find(({ Container }) => Container!.Id.startsWith(name));
    if (!found) throw new GantryError("not-found", `No running container: ${name}`);
    return found.Path;
  });
  return Groups.filter(({ Path }) =>
    roots.some((root) => Path === root || Path.startsWith(`${root}/`)),
  );
}

/** Whether JSON is asked for; other formats are refused. */
export function jsonOnly(format: string): boolean {
  if (format === "" || format === "json") return format === "json";
  throw new GantryError("invalid", `unsupported format ${JSON.stringify(format)}: only json is`);
}
