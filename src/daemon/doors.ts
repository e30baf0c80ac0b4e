// All listening addresses of one daemon, opened together and closed together.

import type { Server } from "node:http";
import type { createApi } from "../api/index.ts";
import { GantryError, type Logger, Rollback } from "../base/index.ts";
import type { ListenAddress } from "./hosts.ts";
import { listenAt, systemdDescriptors } from "./listen.ts";
import type { Settings } from "./settings.ts";
import { loadTls } from "./tls.ts";

/** Opens every address of the settings, or none. */
export async function openDoors(
  api: ReturnType<typeof createApi>,
  settings: Settings,
  log: Logger,
): Promise<{ close(): Promise<void> }> {
  const tls = settings.tls === undefined ? undefined : await loadTls(settings.tls);
  await using undo = new Rollback();
  const closers: (() => Promise<void>)[] = [];
  for (const address of settings.listen.flatMap(withDescriptors)) {
    if (address.kind === "tcp") warnWhenOpen(address, settings, log);
    const door = api.server(address.kind === "tcp" ? tls : undefined);
    await listenAt(door.server, address, { group: settings.socketGroup, log });
    undo.defer(address.text, () => door.close());
    closers.push(() => door.close());
    log.info(`API listen on ${address.kind === "fd" ? address.text : placeOf(door.server)}`);
  }
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

function withDescriptors(
  address: ListenAddress,
): Exclude<ListenAddress, { kind: "fd"; descriptor?: undefined }>[] {
  if (address.kind !== "fd" || address.descriptor !== undefined) {
    return [address as Exclude<ListenAddress, { kind: "fd"; descriptor?: undefined }>];
  }
  const passed = systemdDescriptors();
  if (passed.length === 0) {
    throw new GantryError(
      "invalid",
      "failed to load listeners: no sockets found via socket activation: " +
        "make sure the service was started by systemd",
    );
  }
  return passed.map((descriptor) => ({
    kind: "fd" as const,
    descriptor,
    text: `fd://${descriptor}`,
  }));
}

function warnWhenOpen(
  address: Extract<ListenAddress, { kind: "tcp" }>,
  { tls }: Settings,
  log: Logger,
): void {
  if (tls?.verify === true) return;
  const what = tls === undefined ? "without encryption" : "without client certificates";
  log.warn(
    `[DEPRECATION NOTICE]: API is accessible on ${address.text} ${what}. Access to it is ` +
      "equivalent to root access on the host. Use --tlsverify, or a unix socket over SSH",
  );
}
