// Opens the daemon's doors: unix sockets (mode 0660, the docker group where it exists), TCP with
// or without TLS, and sockets passed by systemd. A socket file that somebody answers on is never
// taken away; a stale one is replaced.

import { chmod, chown, lstat, mkdir, readFile, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { errnoOf, GantryError, type Logger } from "../base/index.ts";
import type { ListenAddress } from "./hosts.ts";

/** Of passed sockets, one. */
export type OpenAddress =
  | Exclude<ListenAddress, { kind: "fd" }>
  | { kind: "fd"; descriptor: number; text: string };

const SOCKET_MODE = 0o660;
/** The socket is born closed to everybody else; group and mode follow. */
const SOCKET_UMASK = 0o177;

export interface ListenOptions {
  group: { name: string; required: boolean };
  log: Logger;
}

/** Resolves when `server` accepts connections at `address`. */
export async function listenAt(
  server: Server,
  address: OpenAddress,
  options: ListenOptions,
): Promise<void> {
  if (address.kind === "unix") return listenUnix(server, address.path, options);
  const where =
    address.kind === "tcp"
      ? { ...(address.host !== "" && { host: address.host }), port: address.port }
      : { fd: address.descriptor };
  await listening(server, () => server.listen(where), address.text);
}

async function listenUnix(server: Server, path: string, options: ListenOptions): Promise<void> {
  const gid = await groupId(options);
  await mkdir(dirname(path), { recursive: true });
  await removeStaleSocket(path);
  // listen() binds before it returns, so the mask covers the creation and nothing else.
  const bind = (): void => {
    const before = process.umask(SOCKET_UMASK);
    try {
      server.listen(path);
    } finally {
      process.umask(before);
    }
  };
  await listening(server, bind, `unix://${path}`);
  if (gid !== undefined) await chown(path, 0, gid);
  await chmod(path, SOCKET_MODE);
}

async function listening(server: Server, bind: () => void, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    bind();
  }).catch((cause: unknown) => {
    const why: Record<string, string> = {
      EADDRINUSE: "address already in use",
      EACCES: "permission denied",
      EADDRNOTAVAIL: "cannot assign requested address",
    };
    const reason = why[errnoOf(cause) ?? ""] ?? String(cause);
    throw new GantryError("invalid", `failed to load listeners: listen ${text}: ${reason}`, {
      cause,
    });
  });
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new GantryError("invalid", `can't create unix socket ${path}: the file exists`);
  }
  if (await answers(path)) {
    throw new GantryError(
      "conflict",
      `can't create unix socket ${path}: another daemon is listening on it`,
    );
  }
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
}

/** The group that may use the socket; a missing "docker" is no error, a missing choice is. */
async function groupId({ group, log }: ListenOptions): Promise<number | undefined> {
  if (group.name === "") return undefined;
  if (/^\d+$/.test(group.name)) return Number(group.name);
  const lines = (await readFile("/etc/group", "utf8").catch(() => "")).split("\n");
  const line = lines.find((one) => one.startsWith(`${group.name}:`));
  if (line !== undefined) return Number(line.split(":")[2]);
  const message = `group ${group.name} not found`;
  if (group.required) throw new GantryError("invalid", `failed to load listeners: ${message}`);
  log.warn(`could not change group of the socket to ${group.name}: ${message}`);
  return undefined;
}
