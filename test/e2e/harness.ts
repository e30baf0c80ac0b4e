// Starts a daemon that shares nothing with the machine it runs on: its own data root, exec root and
// socket, a network and a mount namespace of its own, and one cgroup folder that holds all of its
// containers. stop() proves that nothing is left. A daemon may be killed and started again within
// the same namespaces, as on a machine that stays up.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, open, readdir, readFile, readlink, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import Docker from "dockerode";
import { ensureNative } from "../../tools/build-native.ts";
import { bundleProgram } from "../../tools/bundle-program.ts";
import { payloadProgram, payloadRootfs } from "../payload/payload.ts";
import { cgroupFolders, removeCgroupFolders } from "../support/cgroup-folders.ts";
import { type Result, type RunOptions, run, Session, type TerminalOptions } from "./process.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const GANTRY = join(root, "bin/gantry");
/** The same scenarios against another engine: GANTRY_E2E_DAEMON=dockerd shows what docker does. */
const DAEMON = process.env["GANTRY_E2E_DAEMON"]?.split(" ") ?? [GANTRY, "daemon"];
/** A machine whose processor is emulated (test/vm) has all the time it needs. */
const SLOWER = process.env["GANTRY_VM"] ? 5 : 1;
const START_DEADLINE_MS = 120_000 * SLOWER; // one that ends is noticed at once
const STOP_DEADLINE_MS = 120_000 * SLOWER; // it may have layers to bring to a busy disk
const SETTLE_DEADLINE_MS = 30_000 * SLOWER;
/** The image of the payload, imported into every daemon. */
export const IMAGE = "payload:latest";

export type DaemonOptions = {
  args?: string[];
  /** Leave the image out. */
  bare?: boolean;
  /** Which client `client()` is: the stock docker one, or ours. */
  client?: "docker" | "gantry";
  /** Before the daemon starts: where its namespaces are those of this process. */
  prepare?: (daemon: TestDaemon) => Promise<void> | void;
};

export const dockerPath: string | undefined = findOnPath("docker");

function findOnPath(name: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(":");
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** What a daemon would build when it starts, compilers and all, is no part of its deadline. */
async function buildOnce(): Promise<void> {
  if (DAEMON[0] !== GANTRY) return;
  await ensureNative();
  await bundleProgram("daemon");
}
let built: Promise<void> | undefined;

export async function startDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  built ??= buildOnce();
  await built;
  const daemon = new TestDaemon(
    await mkdtemp(join(tmpdir(), "gantry-e2e-")),
    await payloadProgram(),
    options,
  );
  try {
    await daemon.hold();
    await options.prepare?.(daemon);
    await daemon.start();
    if (!options.bare) await daemon.importPayload();
  } catch (error) {
    const log = await daemon.log();
    await daemon.stop().catch(() => {});
    throw new Error(`The daemon of this test does not start:\n${log}`, { cause: error });
  }
  return daemon;
}

/** A network and a mount namespace that stand for a machine of the test's own. */
export type HeldNamespaces = { pid: number; mnt: string; release(): void };

/** They are kept by a process that ends with this one, whatever way this one ends. */
export async function holdNamespaces(payload: string): Promise<HeldNamespaces> {
  const holder = spawn("unshare", ["-n", "-m", "--", payload, "hold"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once("data", () => resolve());
    holder.once("exit", (code) => reject(new Error(`The holder ended with ${code}`)));
    holder.once("error", reject);
  });
  const mnt = await readlink(`/proc/${holder.pid}/ns/mnt`);
  return { pid: holder.pid!, mnt, release: () => void holder.stdin.end() };
}

export class TestDaemon {
  readonly folder: string;
  readonly socket: string;
  readonly dockerode: Docker;
  readonly cgroupParent = `gantry-test-${randomBytes(4).toString("hex")}`;
  readonly payload: string;
  /** The environment of a client that talks to this daemon. */
  readonly env: Record<string, string>;
  #options: DaemonOptions;
  #host: HeldNamespaces | undefined;
  #daemon: ChildProcess | undefined;

  constructor(folder: string, payload: string, options: DaemonOptions) {
    this.folder = folder;
    this.payload = payload;
    this.#options = options;
    this.socket = join(folder, "gantry.sock");
    this.dockerode = new Docker({ socketPath: this.socket });
    const config = join(folder, "client");
    this.env = { DOCKER_HOST: `unix://${this.socket}`, DOCKER_CONFIG: config, HOME: folder };
  }

  /** A process in the namespaces of this daemon. */
  get namespacesPid(): number {
    return this.#host!.pid;
  }

  async hold(): Promise<void> {
    this.#host = await holdNamespaces(this.payload);
  }

  async start(): Promise<void> {
    const output = await open(join(this.folder, "daemon.log"), "a");
    const args = [
      ...["-t", String(this.#host!.pid), "-n", "-m", "--", ...DAEMON],
      ...["-H", `unix://${this.socket}`, "--data-root", join(this.folder, "data")],
      ...["--exec-root", join(this.folder, "exec"), "--pidfile", join(this.folder, "pid")],
      ...["--cgroup-parent", this.cgroupParent, ...(this.#options.args ?? [])],
    ];
    const env = { ...process.env, HOME: this.folder };
    this.#daemon = spawn("nsenter", args, { stdio: ["ignore", output.fd, output.fd], env });
    await output.close();
    const deadline = Date.now() + START_DEADLINE_MS;
    while (!(await this.#answers())) {
      if (this.#daemon.exitCode !== null) throw new Error(`It ended: ${this.#daemon.exitCode}`);
      if (Date.now() > deadline) throw new Error("It does not answer /_ping");
      await delay(20);
    }
  }

  async #answers(): Promise<boolean> {
    return await new Promise((resolve) => {
      const socket = createConnection(this.socket);
      socket.on("error", () => resolve(false));
      // Not ended: an answer that takes a moment (authorization plugins) needs both directions.
      socket.on("connect", () => socket.write("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"));
      socket.on("data", (chunk) => {
        resolve(chunk.includes(" 200 "));
        socket.destroy();
      });
      socket.on("close", () => resolve(false));
    });
  }

  async importPayload(): Promise<void> {
    const changes = ["-c", 'CMD ["/bin/true"]', "-c", "ENV PATH=/bin"];
    const result = await this.client(["import", ...changes, "-", IMAGE], {
      input: await payloadRootfs(),
    });
    if (result.code !== 0) throw new Error(`import fails: ${result.stderr}${result.stdout}`);
  }

  /** The client under test, to its end. */
  async client(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    const [command, ...first] = this.#clientCommand();
    const env = { ...this.env, ...options.env };
    return await run(command!, [...first, ...args], { ...options, env });
  }

  /** As client(), but anything other than exit code 0 throws; returns trimmed stdout. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.client(args);
    if (code !== 0) {
      throw new Error(`${args.join(" ")}: exit code ${code}\n${stderr}${stdout}`);
    }
    return stdout.trim();
  }

  session(...args: string[]): Session {
    const [command, ...first] = this.#clientCommand();
    return new Session(command!, [...first, ...args], this.env);
  }

  terminal(args: string[], options: TerminalOptions = {}): Session {
    const [command, ...first] = this.#clientCommand();
    return Session.terminal(command!, [...first, ...args], { ...options, env: this.env });
  }

  #clientCommand(): string[] {
    const stock = this.#options.client !== "gantry" && dockerPath !== undefined;
    return stock ? [dockerPath!] : [GANTRY];
  }

  /** Runs the payload on the daemon's "host": inside its network namespace. */
  async onHost(...args: string[]): Promise<Result> {
    return await run("nsenter", ["-t", String(this.#host!.pid), "-n", this.payload, ...args]);
  }

  get holderPid(): number {
    return this.#host!.pid;
  }

  async pid(): Promise<number> {
    return Number((await readFile(join(this.folder, "pid"), "utf8")).trim());
  }

  async log(): Promise<string> {
    const text = await readFile(join(this.folder, "daemon.log"), "utf8").catch(() => "");
    return text.split("\n").slice(-60).join("\n");
  }

  /** What a power cut would do to the daemon: no handler of its runs. */
  async kill9(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async restart(signal: "SIGKILL" | "SIGTERM" = "SIGTERM"): Promise<void> {
    await this.#end(signal);
    await this.start();
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => daemon.once("exit", () => resolve()));
    process.kill(await this.pid(), signal);
    const late = delay(STOP_DEADLINE_MS, "late", { ref: false });
    if ((await Promise.race([ended, late])) === "late") {
      daemon.kill("SIGKILL");
      await ended;
      throw new Error(`The daemon did not end at ${signal}\n${await this.log()}`);
    }
  }

  /** Removes every container, ends the daemon, and throws for whatever is left behind. */
  async stop(): Promise<void> {
    const problems: string[] = [];
    if (this.#daemon !== undefined && this.#daemon.exitCode === null) {
      await this.#removeContainers().catch((error) => problems.push(String(error)));
      await this.#end("SIGTERM").catch((error) => problems.push(String(error)));
    }
    problems.push(...(await this.#leftovers()));
    this.#host?.release();
    if (process.env["GANTRY_E2E_KEEP"] === undefined) {
      await rm(this.folder, { recursive: true, force: true }).catch((e) =>
        problems.push(String(e)),
      );
    }
    if (problems.length > 0) {
      throw new Error(`The daemon leaves behind:\n${problems.join("\n")}\n${await this.log()}`);
    }
  }

  async #removeContainers(): Promise<void> {
    const all = await this.dockerode.listContainers({ all: true });
    await Promise.all(
      all.map(({ Id }) => this.dockerode.getContainer(Id).remove({ force: true, v: true })),
    );
  }

  async #leftovers(): Promise<string[]> {
    const deadline = Date.now() + SETTLE_DEADLINE_MS;
    let found = await this.#find();
    while (found.length > 0 && Date.now() < deadline) {
      await delay(100);
      found = await this.#find();
    }
    for (const { pid } of found) {
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    }
    await removeCgroupFolders(this.cgroupParent);
    return found.map(({ what }) => what);
  }

  /** Processes in our namespaces or cgroups, mounts of our folder, cgroups of our containers. */
  async #find(): Promise<{ what: string; pid?: number }[]> {
    const found: { what: string; pid?: number }[] = [];
    for (const name of await readdir("/proc")) {
      if (!/^\d+$/.test(name) || Number(name) === this.#host?.pid) continue;
      const mnt = await readlink(`/proc/${name}/ns/mnt`).catch(() => "");
      const groups = await readFile(`/proc/${name}/cgroup`, "utf8").catch(() => "");
      if (mnt !== this.#host?.mnt && !groups.includes(this.cgroupParent)) continue;
      const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
      found.push({ what: `process ${name} ${command.replaceAll("\0", " ")}`, pid: Number(name) });
    }
    const mounts = await readFile(`/proc/${this.#host?.pid}/mountinfo`, "utf8").catch(() => "");
    for (const line of mounts.split("\n")) {
      if (line.includes(this.folder)) found.push({ what: `mount ${line}` });
    }
    for (const path of await cgroupFolders(this.cgroupParent)) {
      if (!path.endsWith(this.cgroupParent)) found.push({ what: `cgroup ${path}` });
    }
    return found;
  }
}

/** Skips kernel tests where they cannot run, with the reason. */
export function whyNoDaemon(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(GANTRY) && DAEMON[0] === GANTRY) return "bin/gantry is not there";
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
  } catch {
    return "needs gcc";
  }
  return false;
}
