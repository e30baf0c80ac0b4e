// Which sysctls a container may set: only those that belong to a namespace of its own, so that
// nothing of the host changes. Wording is runc's, which clients see through docker.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import { write } from "./plan-builder.ts";

const IPC = new Set(
  "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced msg_next_id sem_next_id shm_next_id"
    .split(" ")
    .map((name) => `kernel.${name}`),
);

/** Namespaces of the container that are not the host's. */
export interface OwnNamespaces {
  ipc: boolean;
  net: boolean;
  uts: boolean;
  user: boolean;
}

/** Writes through the host's /proc before the root is changed: no mount of the container can be
 * in the way (CVE-2025-52881), and the kernel takes the writer's own namespaces. */
export function planSysctls(
  sysctls: Readonly<Record<string, string>> = {},
  own: OwnNamespaces,
): Operation[] {
  return Object.entries(sysctls).map(([key, value]) => {
    const name = dotted(key);
    checkSysctl(name, key, own);
    return write(`/proc/sys/${pathOf(key)}`, value);
  });
}

/** Either separator may be used: whichever comes first is it ("net/ipv4/conf/eth0.100/…"). */
function usesSlash(key: string): boolean {
  const first = /[./]/.exec(key)?.[0];
  return first === "/";
}
function dotted(key: string): string {
  if (!usesSlash(key)) return key;
  return key.replace(/[./]/g, (c) => (c === "/" ? "." : "/"));
}
function pathOf(key: string): string {
  const path = usesSlash(key) ? key : key.replace(/[./]/g, (c) => (c === "/" ? "." : "/"));
  if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new GantryError("invalid", `invalid sysctl ${JSON.stringify(key)}`);
  }
  return path;
}

function checkSysctl(name: string, key: string, own: OwnNamespaces): void {
  const quoted = JSON.stringify(key);
  const refuse = (why: string) => new GantryError("invalid", `sysctl ${quoted} ${why}`);
  if (IPC.has(name) || name.startsWith("fs.mqueue.")) {
    if (!own.ipc) throw refuse("is not allowed in the hosts ipc namespace");
    return;
  }
  if (name.startsWith("net.")) {
    if (!own.net) throw refuse("not allowed in host network namespace");
    return;
  }
  if (name === "kernel.domainname") {
    if (!own.uts) throw refuse("not allowed in host UTS namespace");
    return;
  }
  if (name === "kernel.hostname") {
    throw refuse('is not allowed as it conflicts with the OCI "hostname" field');
  }
  if (name.startsWith("user.") && own.user) return;
  throw refuse("is not in a separate kernel namespace");
}
