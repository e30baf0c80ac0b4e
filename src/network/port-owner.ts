// Finds out who listens on a port, for the error that says it is taken: the listening socket's
// inode from /proc/net, then the process that has it open. Runs only after a bind has failed.

import { readdir, readFile, readlink } from "node:fs/promises";

const LISTEN = "0A"; // tcp states, hexadecimal
const UNCONNECTED = "07"; // udp

/** "nginx, pid 812", or undefined when it cannot be known. */
export async function portOwner(protocol: string, port: number): Promise<string | undefined> {
  if (protocol === "sctp") return undefined;
  const inodes = new Set<string>();
  for (const table of [protocol, `${protocol}6`]) {
    const text = await readFile(`/proc/net/${table}`, "utf8").catch(() => "");
    for (const inode of listeningInodes(text, protocol, port)) inodes.add(inode);
  }
  if (inodes.size === 0) return undefined;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || !(await holdsSocket(pid, inodes))) continue;
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    return `${name.trim() || "a process"}, pid ${pid}${await containerOf(pid)}`;
  }
  return undefined;
}

/** By its cgroup: containers that share the host's network hold ports themselves. */
async function containerOf(pid: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  const id = /\/([0-9a-f]{64})(\/|$)/m.exec(text)?.[1];
  return id === undefined ? "" : ` in container ${id.slice(0, 12)}`;
}

/** Inodes of sockets that listen on `port`, from the text of /proc/net/{tcp,udp}[6]. Pure. */
export function listeningInodes(text: string, protocol: string, port: number): string[] {
  const wanted = protocol === "udp" ? UNCONNECTED : LISTEN;
  return text.split("\n").flatMap((line) => {
    const columns = line.trim().split(/\s+/);
    const local = columns[1]?.split(":")[1];
    if (local === undefined || Number.parseInt(local, 16) !== port) return [];
    return columns[3] === wanted && columns[9] ? [columns[9]] : [];
  });
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => [] as string[]);
  for (const fd of fds) {
    const link = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}
