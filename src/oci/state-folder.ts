// What is known of a container between calls: ROOT/<id>/state.json, and the socket on which it
// waits to be started. A file appears whole or not at all. The first one is written before anything
// of the container is made: what a killed creation leaves is found by its cgroups, once these were
// seen to be nobody else's. A folder without one is empty.

import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, parseExactJson, stringifyExactJson } from "../base/index.ts";
import type { RdtPlace } from "../runtime/index.ts";
import type { OciSpec } from "../spec/index.ts";

/** Gantry's own format, version 1. */
export interface ContainerState {
  version: 1;
  id: string;
  bundle: string; // absolute
  created: string; // RFC 3339
  /** Of its first process; 0 while it is made, and when its creation was killed. */
  pid: number;
  /** Of that pid, in clock ticks: /proc/PID/stat field 22. */
  startTicks: string;
  /** Controller → folder; "" for cgroup v2. */
  cgroupPaths: Record<string, string>;
  /** Its class of service in resctrl, and what was made for it there. */
  rdt?: RdtPlace;
  /** As it was when the container was created. */
  spec: OciSpec;
  /** Uid of the caller. */
  owner: number;
  /** Its program tells a service manager when it is ready: the socket at `notifySocket`. */
  notifies?: true;
  /** With systemd's cgroups: its scope. */
  unit?: string;
}

const ID = /^[\w+.-]+$/;
const STATE = "state.json";
const SOCKET = "start.sock";
const CLAIM = "claimed";

export class StateFolder {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  folder(id: string): string {
    if (!ID.test(id) || id === "." || id === "..") {
      throw new GantryError("invalid", `invalid container ID format: ${JSON.stringify(id)}`);
    }
    return join(this.root, id);
  }

  /** In a folder of its own, which the container sees. */
  notifySocket(id: string): string {
    return join(this.folder(id), "notify", "notify.sock");
  }

  startSocket(id: string): string {
    return join(this.folder(id), SOCKET);
  }

  /** Made by the plan: the cgroups that the state names are the container's. */
  claimFile(id: string): string {
    return join(this.folder(id), CLAIM);
  }

  /** Takes the id. */
  async claim(id: string): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o711 });
    try {
      await mkdir(this.folder(id), { mode: 0o711 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      throw new GantryError("conflict", "container with given ID already exists");
    }
  }

  async write(state: ContainerState): Promise<void> {
    const path = join(this.folder(state.id), STATE);
    await writeFile(`${path}.new`, stringifyExactJson(state), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async read(id: string): Promise<ContainerState> {
    const path = join(this.folder(id), STATE);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new GantryError("not-found", "container does not exist");
    }
    const state = parseState(text, path);
    if (state.pid !== 0 || (await exists(this.claimFile(id)))) return state;
    // Killed before that was known: others may live in what its configuration names.
    const { rdt: _, ...begun } = state;
    return { ...begun, cgroupPaths: {} };
  }

  async list(): Promise<string[]> {
    const names = await readdir(this.root).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    return names.filter((name) => ID.test(name)).sort();
  }

  async remove(id: string): Promise<void> {
    await rm(this.folder(id), { recursive: true, force: true });
  }

  /** The container has been started: nothing waits at its socket any more. */
  async forgetSocket(id: string): Promise<void> {
    await rm(this.startSocket(id), { force: true });
  }

  async isWaiting(id: string): Promise<boolean> {
    return await exists(this.startSocket(id));
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function parseState(text: string, path: string): ContainerState {
  const refuse = (what: string, cause?: unknown) =>
    new GantryError("invalid", `${path} ${what}`, cause === undefined ? {} : { cause });
  let state: Partial<ContainerState> | null;
  try {
    state = parseExactJson(text) as Partial<ContainerState> | null;
  } catch (cause) {
    throw refuse(
      "is damaged: remove its folder, and what is left in the container's cgroups",
      cause,
    );
  }
  if (state?.version !== 1) throw refuse("is of another version of this program");
  return state as ContainerState;
}
