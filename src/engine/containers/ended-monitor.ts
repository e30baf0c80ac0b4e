// A container may be over before we have connected to its monitor: `true` lives for a millisecond.
// Its exit record is then all there is, and this stands in for the connection.

import { Duplex } from "node:stream";
import { GantryError } from "../../base/index.ts";
import { type ExitStatus, type Monitor, readExitRecord } from "../../native/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";
import { SIGKILL } from "./signals.ts";

/** Connects to the monitor of a container that was started just now. */
export async function connectStarted(
  engine: EngineContext,
  c: ContainerRecord,
  monitorPid: number,
): Promise<Monitor> {
  const paths = engine.paths.container(c.id);
  try {
    return await engine.connectMonitor(paths.socket);
  } catch (error) {
    const status = await readExitRecord(paths.exit);
    if (!status) throw error;
    return endedMonitor(monitorPid, status);
  }
}

function endedMonitor(pid: number, status: ExitStatus): Monitor {
  const gone = async (): Promise<never> => {
    throw new GantryError("conflict", "The container has ended");
  };
  return {
    pid,
    exited: Promise.resolve(status),
    closed: Promise.resolve(),
    onOom: () => {},
    onLogRotated: () => {},
    release: () => {},
    kill: gone,
    resize: gone,
    exec: gone,
    attach: async () => {
      const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
      stream.push(null);
      return stream;
    },
    close: () => {},
  };
}

/** Ends a container that nobody is to know of: killed, and its monitor gone with it. */
export async function endStray(engine: EngineContext, socketPath: string): Promise<void> {
  const monitor = await engine.connectMonitor(socketPath).catch(() => undefined);
  if (!monitor) return;
  await monitor.kill("", SIGKILL).catch(() => {});
  await monitor.exited.catch(() => {});
  monitor.close();
}
