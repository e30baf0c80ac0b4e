// The service manager (systemd) that started this daemon: the sockets it passed (sd_listen_fds(3))
// and what it is told in return (sd_notify(3)). What it put into the environment is taken out, so
// that no child takes it for its own. Node has no unix datagram sockets: the native program sends.

import { type Logger, messageOf } from "../base/index.ts";
import type { Native } from "../native/index.ts";

const FIRST_DESCRIPTOR = 3;
const VARIABLES = [
  "NOTIFY_SOCKET",
  "WATCHDOG_USEC",
  "WATCHDOG_PID",
  "LISTEN_FDS",
  "LISTEN_PID",
  "LISTEN_FDNAMES",
];
/** What closing takes beyond the containers: streams, stores, the native program. */
const CLOSE_SECONDS_MAX = 30;

export interface PassedSocket {
  descriptor: number;
  /** FileDescriptorName= of the socket unit; "unknown" without one, as sd_listen_fds says. */
  name: string;
}
export interface ServiceEnvironment {
  sockets: PassedSocket[];
  /** A path, or "@" and an abstract name; "" where nobody listens. */
  notifySocket: string;
  /** The manager wants to hear of this process so often. */
  watchdogMs: number | undefined;
}

/** Reads what is meant for this process, and removes it from `env` in any case. */
export function takeServiceEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  pid: number = process.pid,
): ServiceEnvironment {
  const isFor = (name: string): boolean => Number(env[name]) === pid;
  const path = env["NOTIFY_SOCKET"] ?? "";
  const watchdogUs = Number(env["WATCHDOG_USEC"] ?? 0);
  const watched = env["WATCHDOG_PID"] === undefined || isFor("WATCHDOG_PID");
  const taken = {
    sockets: isFor("LISTEN_PID") ? socketsOf(env) : [],
    notifySocket: /^[/@]./.test(path) ? path : "",
    watchdogMs: watched && watchdogUs > 0 ? watchdogUs / 1000 : undefined,
  };
  for (const name of VARIABLES) delete env[name];
  return taken;
}

function socketsOf(env: NodeJS.ProcessEnv): PassedSocket[] {
  const count = Number(env["LISTEN_FDS"] ?? 0);
  if (!Number.isInteger(count) || count < 1) return [];
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  return Array.from({ length: count }, (_, i) => ({
    descriptor: FIRST_DESCRIPTOR + i,
    name: names[i] || "unknown",
  }));
}

/** Tells the manager how this daemon is. Nothing of it ever fails: it is told to the log. */
export class ServiceManager {
  #path: string;
  #watchdogMs: number | undefined;
  #native: Pick<Native, "run"> | undefined;
  #log: Logger;
  #watchdog: NodeJS.Timeout | undefined;

  constructor(
    { notifySocket, watchdogMs }: ServiceEnvironment,
    o: { native: Pick<Native, "run"> | undefined; log: Logger },
  ) {
    this.#path = notifySocket;
    this.#watchdogMs = watchdogMs;
    this.#native = o.native;
    this.#log = o.log;
  }

  async ready(status: string): Promise<void> {
    await this.#tell("READY=1", `STATUS=${status}`);
    if (this.#watchdogMs === undefined || this.#watchdog !== undefined) return;
    // Half of it, as sd_watchdog_enabled(3) asks: the sign comes from this event loop and through
    // the native program, so it stays away when either hangs.
    const beat = (): void => void this.#tell("WATCHDOG=1");
    this.#watchdog = setInterval(beat, this.#watchdogMs / 2).unref();
  }

  async reloading(): Promise<void> {
    const now = process.hrtime.bigint() / 1000n;
    await this.#tell("RELOADING=1", `MONOTONIC_USEC=${now}`);
  }

  /** `seconds`: how long the containers may take. */
  async stopping(seconds: number): Promise<void> {
    clearInterval(this.#watchdog);
    const microseconds = (seconds + CLOSE_SECONDS_MAX) * 1_000_000;
    await this.#tell("STOPPING=1", "STATUS=Stopping", `EXTEND_TIMEOUT_USEC=${microseconds}`);
  }

  async #tell(...lines: string[]): Promise<void> {
    if (this.#path === "" || this.#native === undefined) return;
    const notify = { path: this.#path, text: lines.join("\n"), pid: process.pid };
    await this.#native.run({ host: [{ op: "notify", ...notify }] }).catch((error: unknown) => {
      this.#log.warn("The service manager could not be told", {
        message: lines[0],
        error: messageOf(error),
      });
    });
  }
}
