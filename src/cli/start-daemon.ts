// Starts a daemon in the background when nobody listens on the default socket, and waits until it
// does. It outlives the caller: its own session, its output in a file.

import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, watch } from "node:fs";
import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { GantryError } from "../base/index.ts";
import type { Io } from "./io.ts";

const START_DEADLINE_MS = 30_000;
const BIND_TO_LISTEN_MS = 20;
/** So long another daemon that was started at the same moment may take. */
const OTHER_DAEMON_MS = 2_000;
const LOG_PATH = "/var/log/gantry.log";
const LOG_LINES_SHOWN = 5;

/** The checkout or package that this program belongs to. */
export function programRoot(): string {
  return process.env["GANTRY_ROOT"] ?? join(import.meta.dirname, "..", "..");
}

/** Resolves when `socket` accepts connections. */
export async function startDaemon(io: Io, socket: string): Promise<void> {
  io.stderr.write(`gantry: starting the daemon in the background (log: ${LOG_PATH})\n`);
  mkdirSync(dirname(LOG_PATH), { recursive: true });
  const log = openSync(LOG_PATH, "a", 0o640);
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      join(programRoot(), "bin", "gantry.ts"),
      "daemon",
      "-H",
      `unix://${socket}`,
    ],
    { detached: true, stdio: ["ignore", log, log], cwd: "/", env: daemonEnvironment(io) },
  );
  closeSync(log);
  child.unref();
  const exited = new Promise<never>((_, reject) => {
    child.once("error", reject);
    // Of two that are started at once, one finds the other's lock and ends: look for the winner.
    child.once("exit", () => {
      const failure = new GantryError("unavailable", exitMessage());
      setTimeout(reject, OTHER_DAEMON_MS, failure).unref();
    });
  });
  exited.catch(() => {});
  await Promise.race([listening(socket), exited]);
}

/** The caller's environment is not the daemon's, except for where programs are. */
function daemonEnvironment({ env }: Io): NodeJS.ProcessEnv {
  const { PATH, HOME, TZ, LANG } = env;
  return Object.fromEntries(
    Object.entries({ PATH, HOME, TZ, LANG }).filter(([, value]) => value !== undefined),
  );
}

function exitMessage(): string {
  let tail = "";
  try {
    tail = readFileSync(LOG_PATH, "utf8").trimEnd().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
  } catch {
    // No log: nothing to show.
  }
  return `gantry: the daemon did not start; the end of ${LOG_PATH}:\n${tail}`;
}

/** Tries again whenever something changes beside the socket; no polling. */
function listening(socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const watcher = watch(dirname(socket));
    const timer = setTimeout(() => {
      watcher.close();
      const limit = `${START_DEADLINE_MS / 1000} s`;
      reject(new GantryError("timeout", `gantry: the daemon did not listen within ${limit}`));
    }, START_DEADLINE_MS);
    const attempt = () => {
      if (!existsSync(socket)) return;
      const probe = connect({ path: socket });
      probe.once("error", () => {
        probe.destroy();
        // The file is there between bind and listen: look once more, shortly.
        setTimeout(attempt, BIND_TO_LISTEN_MS).unref();
      });
      probe.once("connect", () => {
        probe.destroy();
        clearTimeout(timer);
        watcher.close();
        resolve();
      });
    };
    watcher.on("change", (_event, name) => {
      if (name === null || String(name) === basename(socket)) attempt();
    });
    attempt();
  });
}
