// The checkout or package that this program belongs to. Bundles lie deeper or less deep than the
// sources, so it is searched for, not counted in "..".

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

let found: string | undefined;

/** The nearest folder upwards with a package.json. */
export function programRoot(): string {
  if (found !== undefined) return found;
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json")) && folder !== "/") folder = dirname(folder);
  found = folder;
  return folder;
}
