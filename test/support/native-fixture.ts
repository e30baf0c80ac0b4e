// A spawner and a folder of a test's own, and plans small enough to read: a container whose root
// is a prepared folder with the payload in it. Disposing kills what still runs and leaves nothing.

import { execFile } from "node:child_process";
import { copyFile, link, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { promisify } from "node:util";
import {
  type Created,
  connectMonitor,
  type Monitor,
  type MonitorConfig,
  type Operation,
  type Plan,
  Spawner,
} from "../../src/native/index.ts";
import { buildNative } from "../../tools/build-native.ts";
import { payloadProgram } from "../payload/payload.ts";

export const NEW = { ns: 0x00020000, pid: 0x20000000, net: 0x40000000, uts: 0x04000000 } as const;
const MS_REC_PRIVATE = 0x44000;
const O_PATH = 0x200000;
const SLOT = { root: 10, pid: 11, proc: 12 } as const;

export type Running = { created: Created; monitor: Monitor; id: string };

export class NativeFixture implements AsyncDisposable {
  readonly root: string;
  readonly rootfs: string;
  readonly spawner: Spawner;
  #monitors: Monitor[] = [];
  #count = 0;

  private constructor(root: string, options: { program?: string }) {
    this.root = root;
    this.rootfs = join(root, "rootfs");
    this.spawner = new Spawner({ execRoot: root, ...options });
  }

  static async make(options: { program?: string } = {}): Promise<NativeFixture> {
    await buildNative();
    const root = await mkdtemp(join(tmpdir(), "gantry-native-"));
    const fixture = new NativeFixture(root, options);
    const program = await payloadProgram();
    const { stdout } = await promisify(execFile)(program, []);
    for (const folder of ["bin", "proc", "dev", "tmp", "dev/pts"]) {
      await mkdir(join(fixture.rootfs, folder), { recursive: true });
    }
    await copyFile(program, join(fixture.rootfs, "bin/payload"));
    for (const verb of stdout.trim().split("\n")) {
      await link(join(fixture.rootfs, "bin/payload"), join(fixture.rootfs, "bin", verb));
    }
    return fixture;
  }

  path(name: string): string {
    return join(this.root, name);
  }

  config(id: string, options: Partial<MonitorConfig> = {}): MonitorConfig {
    return {
      id,
      socketPath: this.path(`${id}.sock`),
      exitPath: this.path(`${id}.exit`),
      log: { path: this.path(`${id}.log`), maxBytes: 0, maxFiles: 1, attrs: "" },
      terminal: false,
      stdinOnce: false,
      openStdin: false,
      holdMs: 0,
      oomPath: "",
      ...options,
    };
  }

  /** Starts a container that runs `argv`, and connects to its monitor. */
  async start(
    argv: readonly string[],
    options: Partial<MonitorConfig> & Partial<Plan> = {},
  ): Promise<Running> {
    const id = `c${++this.#count}`;
    const config = this.config(id, options);
    const plan = { ...containerPlan(this.rootfs, argv, config), ...definedHalves(options) };
    const created = await this.spawner.create(plan, config);
    const monitor = await connectMonitor(config.socketPath);
    this.#monitors.push(monitor);
    return { created, monitor, id };
  }

  async log(id: string): Promise<{ log: string; stream: string; time: string }[]> {
    const text = await readFile(this.path(`${id}.log`), "utf8");
    return text
      .trimEnd()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  async names(): Promise<string[]> {
    return (await readdir(this.root)).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const monitor of this.#monitors) {
      await monitor.kill("", 9).catch(() => {}); // most have ended by now
      await monitor.closed;
    }
    await this.spawner.close();
    await rm(this.root, { recursive: true, force: true });
  }
}

function definedHalves(options: Partial<Plan>): Partial<Plan> {
  const { host, container, teardown, deadlineMs, failAt } = options;
  return {
    ...(host ? { host } : {}),
    ...(container ? { container } : {}),
    ...(teardown ? { teardown } : {}),
    ...(deadlineMs ? { deadlineMs } : {}),
    ...(failAt ? { failAt } : {}),
  };
}

/** Pipes whose other ends are the monitor's, in slots 0 to 5. */
export function pipes(openStdin: boolean): Operation[] {
  const wanted = openStdin ? [0, 2, 4] : [2, 4];
  return wanted.flatMap((read): Operation[] => {
    const as = ["stdin", "stdout", "stderr"][read / 2]!;
    const ours = read === 0 ? 1 : read;
    return [
      { op: "pipe", read, write: read + 1 },
      { op: "export", slot: ours, as },
      { op: "close", slot: ours },
    ];
  });
}

export function streams(openStdin: boolean): Operation[] {
  return [
    ...(openStdin ? [{ op: "dup2", slot: 0, fd: 0 } as const] : []),
    { op: "dup2", slot: 3, fd: 1 },
    { op: "dup2", slot: 5, fd: 2 },
  ];
}

/** Namespaces of its own, the folder as its root, a fresh /proc. */
export function enterRoot(rootfs: string): Operation[] {
  return [
    { op: "setsid" },
    { op: "propagation", path: "/", flags: MS_REC_PRIVATE },
    { op: "openTree", path: rootfs, recursive: true, to: SLOT.root },
    { op: "moveMount", slot: SLOT.root, path: rootfs },
    { op: "fsmount", fstype: "proc", options: [], to: SLOT.proc },
    { op: "moveMount", slot: SLOT.proc, root: SLOT.root, path: "/proc", make: "dir" },
    { op: "pivotRoot", slot: SLOT.root },
    { op: "close", slot: SLOT.proc },
  ];
}

export function terminal(): Operation[] {
  return [
    { op: "fsmount", fstype: "devpts", options: ["newinstance", "ptmxmode=0666"], to: 20 },
    { op: "moveMount", slot: 20, path: "/dev/pts", make: "dir" },
    { op: "pty", path: "/dev/pts/ptmx", master: 21, slave: 22, rows: 24, columns: 80 },
    { op: "export", slot: 21, as: "tty" },
    { op: "close", slot: 21 },
    { op: "controllingTty", slot: 22 },
    ...[0, 1, 2].map((fd): Operation => ({ op: "dup2", slot: 22, fd })),
  ];
}

export function containerPlan(
  rootfs: string,
  argv: readonly string[],
  options: Pick<MonitorConfig, "terminal" | "openStdin">,
): Plan {
  const { terminal: isTerminal, openStdin } = options;
  return {
    host: [
      ...(isTerminal ? [] : pipes(openStdin)),
      { op: "clone", flags: NEW.ns | NEW.pid | NEW.net | NEW.uts, pid: SLOT.pid },
    ],
    container: [
      ...enterRoot(rootfs),
      ...(isTerminal ? terminal() : streams(openStdin)),
      { op: "hostname", name: "boxed" },
      { op: "execve", argv, env: ["PATH=/bin"] },
    ],
    teardown: [],
  };
}

/** Joins every namespace of `pid` and runs `argv` there. */
export function execPlan(pid: number, argv: readonly string[], openStdin = false): Plan {
  return {
    host: [
      ...pipes(openStdin),
      { op: "pidfdOpen", pid, to: 30 },
      { op: "setns", slot: 30, flags: NEW.ns | NEW.pid | NEW.net | NEW.uts },
      { op: "close", slot: 30 },
      { op: "clone", flags: 0, pid: SLOT.pid },
    ],
    container: [
      { op: "setsid" },
      ...streams(openStdin),
      { op: "execve", argv, env: ["PATH=/bin"] },
    ],
    teardown: [],
  };
}

export const openPath: number = O_PATH;

/** Everything that a stream gives until it ends. */
export async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Takes docker's multiplexed frames apart. */
export function demultiplex(data: Buffer): { stdout: string; stderr: string } {
  const out = { 1: "", 2: "" } as Record<number, string>;
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32BE(at + 4);
    out[data[at]!] += data.toString("utf8", at + 8, at + 8 + length);
    at += 8 + length;
  }
  return { stdout: out[1]!, stderr: out[2]! };
}
