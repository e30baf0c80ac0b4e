// Which folders of a host are never relabelled, whoever asks: its programs and services could not
// read them any more. They are known by what they are, not only by their names: a bind or a link
// of /etc is /etc.

import { realpath, stat } from "node:fs/promises";
import { GantryError, messageOf } from "../../base/index.ts";

const EXCLUDED = [
  ...["/", "/bin", "/boot", "/dev", "/etc", "/etc/passwd", "/etc/pki", "/etc/shadow", "/home"],
  ...["/lib", "/lib64", "/media", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys"],
  ...["/tmp", "/usr", "/var", "/var/lib", "/var/log"],
];

/** The path without links of what may be relabelled. Throws invalid in dockerd's words. */
export async function relabelSource(path: string, also: readonly string[]): Promise<string> {
  const source = await realpath(path).catch((cause) => {
    const why = `error evaluating symlinks from mount source "${path}": ${messageOf(cause)}`;
    throw new GantryError("invalid", why, { cause });
  });
  const found = await identity(source);
  for (const one of [...EXCLUDED, ...also]) {
    if (one !== source && (await identity(one)) !== found) continue;
    throw new GantryError(
      "invalid",
      `error setting label on mount source '${source}': SELinux relabeling of ${source} is not ` +
        "allowed",
    );
  }
  return source;
}

async function identity(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev}:${found.ino}`;
}
