// The options that --tmpfs takes, checked before a container is made; the kernel's own complaint
// would come only at its start, and without docker's words.

import { posix } from "node:path";
import { GantryError } from "../../base/index.ts";

const PROPAGATIONS = ["private", "shared", "slave", "unbindable"];
const FLAGS = new Set([
  ...["defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"],
  ...["sync", "async", "dirsync", "remount", "mand", "nomand", "atime", "noatime"],
  ...["diratime", "nodiratime", "bind", "rbind", "relatime", "norelatime"],
  ...["strictatime", "nostrictatime"],
  ...PROPAGATIONS.flatMap((word) => [word, `r${word}`]),
]);
const VALUES = new Set(["mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"]);

/** Throws invalid with docker's wording. */
export function checkTmpfs(path: string, options: string): void {
  if (!posix.isAbsolute(path)) {
    throw new GantryError("invalid", `invalid mount path: '${path}' mount path must be absolute`);
  }
  if (posix.normalize(path) === "/") {
    throw new GantryError("invalid", "invalid specification: destination can't be '/'");
  }
  for (const option of options.split(",")) {
    if (option === "" || FLAGS.has(option)) continue;
    const equals = option.indexOf("=");
    if (equals > 0 && VALUES.has(option.slice(0, equals))) continue;
    const name = option.split("=")[0];
    throw new GantryError("invalid", `invalid tmpfs option ${JSON.stringify(name)}`);
  }
}
