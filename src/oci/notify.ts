// $NOTIFY_SOCKET: what a container's program tells of its readiness reaches the service manager of
// whoever runs the container. The program has a socket in a folder of its own, read-only to it, at
// the place where runc has it.

import { chmod, mkdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { OciSpec } from "../spec/index.ts";

const FOLDER = "/run/notify";

/** Whether there is a manager to tell; then the configuration gets mount and variable. */
export function addNotifySocket(
  spec: OciSpec,
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): true | undefined {
  if (!env["NOTIFY_SOCKET"]) return undefined;
  spec.mounts = [
    ...(spec.mounts ?? []),
    {
      destination: FOLDER,
      type: "bind",
      source: dirname(path),
      options: ["bind", "nosuid", "noexec", "nodev", "ro"],
    },
  ];
  spec.process!.env = [...(spec.process!.env ?? []), `NOTIFY_SOCKET=${FOLDER}/${basename(path)}`];
  return true;
}

export async function makeNotifyFolder(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  // Whatever the caller's umask is: the program may be any user.
  await chmod(dirname(path), 0o755);
}
