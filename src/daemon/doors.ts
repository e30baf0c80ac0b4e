// All listening addresses of one daemon, opened together and closed together.

import type { Server } from "node:http";
import type { createApi } from "../api/index.ts";
import { GantryError, type Logger, Rollback } from "../base/index.ts";
import type { ListenAddress } from "./hosts.ts";
import { listenAt, type OpenAddress } from "./listen.ts";
import type { Settings } from "./settings.ts";
import type { PassedSocket } from "./systemd.ts";
import { loadTls } from "./tls.ts";

/** Opens every address of the settings, or none. */
export async function openDoors(
  api: ReturnType<typeof createApi>,
  settings: Settings,
  { passed, log }: { passed: readonly PassedSocket[]; log: Logger },
): Promise<{ close(): Promise<void> }> {
  const tls = settings.tls === undefined ? undefined : await loadTls(settings.tls);
  await using undo = new Rollback();
  const closers: (() => Promise<void>)[] = [];
  const warnings: string[] = [];
  const addresses = wanted(settings, passed).flatMap((address) => resolve(address, passed));
  for (const address of addresses) {
    if (address.kind === "tcp") warnBefore(address, settings, log);
    const door = api.server(address.kind === "tcp" ? tls : undefined);
    await listenAt(door.server, address, { group: settings.socketGroup, log });
    undo.defer(address.text, () => door.close());
    closers.push(() => door.close());
    log.info(`API listen on ${address.kind === "fd" ? address.text : placeOf(door.server)}`);
    if (address.kind === "tcp") warnings.push(...openDoorWarnings(placeOf(door.server), settings));
  }
  for (const warning of warnings) log.warn(warning);
  settings.engine.doorWarnings = warnings;
  undo.commit();
  return { close: once(async () => void (await Promise.all(closers.map((close) => close())))) };
}

function placeOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") return String(address);
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `${host}:${address.port}`;
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}

/** What was passed is served also where nobody says fd://, beside the `hosts` of daemon.json: a
 * unit without -H is in nobody's way. */
function wanted({ listen, listensByDefault }: Settings, passed: readonly unknown[]) {
  if (passed.length === 0 || listen.some(({ kind }) => kind === "fd")) return listen;
  const all: ListenAddress = { kind: "fd", which: "all", text: "fd://" };
  return listensByDefault ? [all] : [all, ...listen];
}

function resolve(address: ListenAddress, passed: readonly PassedSocket[]): OpenAddress[] {
  if (address.kind !== "fd") return [address];
  const { which } = address;
  if (passed.length === 0) {
    throw unloaded(
      "no sockets found via socket activation: make sure the service was started by systemd",
    );
  }
  const meant = passed.filter(
    ({ descriptor, name }) => which === "all" || descriptor === which || name === which,
  );
  if (meant.length > 0) {
    return meant.map(({ descriptor }) => ({ kind: "fd", descriptor, text: `fd://${descriptor}` }));
  }
  if (typeof which === "number") {
    throw unloaded("too few socket activated files passed in by systemd");
  }
  const names = [...new Set(passed.map(({ name }) => name))].join(", ");
  throw unloaded(`no socket named "${which}" was passed in by systemd, only: ${names}`);
}

function unloaded(why: string): GantryError {
  return new GantryError("invalid", `failed to load listeners: ${why}`);
}

/** As dockerd; it also waits before it goes on, which makes nobody safer. */
function warnBefore({ text }: { text: string }, { tls }: Settings, log: Logger): void {
  if (tls?.verify === true) return;
  const host = { host: text };
  log.warn(
    "Binding to IP address without --tlsverify is insecure and gives root access on this machine " +
      "to everyone who has access to your network.",
    host,
  );
  log.warn(
    "Binding to an IP address, even on localhost, can also give access to scripts run in a " +
      "browser. Be safe out there!",
    host,
  );
}

/** In dockerd's words: `info` repeats them, and its client prints them. */
function openDoorWarnings(place: string, { tls }: Settings): string[] {
  if (tls?.verify === true) return [];
  const how =
    tls === undefined
      ? `http://${place} without encryption`
      : `https://${place} without TLS client verification`;
  return [
    `[DEPRECATION NOTICE]: API is accessible on ${how}.\n` +
      "         Access to the remote API is equivalent to root access on the host. Refer\n" +
      "         to the 'Docker daemon attack surface' section in the documentation for\n" +
      "         more information: https://docs.docker.com/go/attack-surface/\n" +
      "In future versions this will be a hard failure preventing the daemon from starting! " +
      "Learn more at: https://docs.docker.com/go/api-security/",
  ];
}
