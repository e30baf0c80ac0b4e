// The fake registry as a process in a daemon's own network namespace, so that both meet on its
// loopback.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { root, type TestDaemon } from "./harness.ts";

const ENTRY = join(root, "test/fakes/registry-entry.ts");

export interface RegistryBeside {
  /** HOST:PORT as the daemon's side reaches it. */
  host: string;
  stop(): Promise<void>;
}

/** `login`: the only user, and the password; without, everybody may do everything. */
export async function registryBeside(
  { holderPid }: TestDaemon,
  login: [user: string, password: string] | [] = [],
): Promise<RegistryBeside> {
  const inside = ["-t", String(holderPid), "-n", process.execPath, ENTRY, ...login];
  const child = spawn("nsenter", inside, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return {
    host: line.toString().trim(),
    async stop() {
      const ended = once(child, "exit");
      child.stdin.end();
      await ended;
    },
  };
}
