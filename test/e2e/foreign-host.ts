// A machine of a test's own on which other container engines run with gantry-runtime: namespaces
// for processes, mounts, the network and names, an empty /run, one cgroup folder. The engines keep
// what they have in the test's folder. Disposing ends the first process, and the kernel with it all
// others: shims, monitors, containers, warm processes.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { bundleCli } from "../../tools/bundle-cli.ts";
import { cgroupFolders, removeCgroupFolders } from "../support/cgroup-folders.ts";
import { payloadArchive } from "../support/payload-archive.ts";
import { root, whyNoDaemon } from "./harness.ts";
import { type Result, type RunOptions, run, Session, type TerminalOptions } from "./process.ts";

const READY_DEADLINE_MS = 60_000;
const END_DEADLINE_MS = 30_000;
/** Folders of engines that come before those of the machine: newer ones that are not installed. */
const OTHERS = process.env["GANTRY_TEST_ENGINES"]?.split(":") ?? [];
const PLACES = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/** Where a program is, undefined where it is not. */
export function programAt(name: string): string | undefined {
  return [...OTHERS, ...PLACES]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/** Why a test with these programs cannot run here. */
export function whyNoEngine(...programs: string[]): string | false {
  const missing = programs.filter((name) => programAt(name) === undefined);
  return whyNoDaemon() || (missing.length > 0 && `needs ${missing.join(", ")}`);
}

export class ForeignHost implements AsyncDisposable {
  readonly folder: string;
  readonly cgroupParent = `gantry-test-${randomBytes(4).toString("hex")}`;
  readonly runtime = join(root, "bin/gantry-runtime");
  readonly archive: string;
  readonly #init: ChildProcess;
  readonly #engines: ChildProcess[] = [];
  #pid = 0;

  private constructor(folder: string, init: ChildProcess) {
    this.folder = folder;
    this.archive = join(folder, "payload.tar");
    this.#init = init;
  }

  static async make(): Promise<ForeignHost> {
    await bundleCli();
    const folder = await mkdtemp(join(tmpdir(), "gantry-foreign-"));
    // The shell reaps what others leave behind while it waits for the test to close its input.
    const script = "mount -t tmpfs tmpfs /run && mkdir /run/lock && echo ready && cat; true";
    const namespaces = ["-p", "-m", "-n", "-i", "-u", "-f", "--mount-proc", "--kill-child"];
    const init = spawn("unshare", [...namespaces, "--", "sh", "-c", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const host = new ForeignHost(folder, init);
    try {
      await new Promise<void>((resolve, reject) => {
        init.stdout.once("data", () => resolve());
        init.once("exit", (code) => reject(new Error(`The first process ended with ${code}`)));
      });
      const children = await readFile(`/proc/${init.pid}/task/${init.pid}/children`, "utf8");
      host.#pid = Number(children.trim());
      await host.ok("ip", "link", "set", "lo", "up");
      await writeFile(host.archive, await payloadArchive());
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A file of this machine as its processes see it. */
  seen(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  #enter(args: readonly string[]): string[] {
    return ["-t", String(this.#pid), "-p", "-m", "-n", "-i", "-u", "--", ...args];
  }

  get #env(): Record<string, string> {
    const path = [...OTHERS, process.env["PATH"], "/usr/sbin", "/sbin"].filter(Boolean).join(":");
    return { HOME: this.folder, TMPDIR: this.folder, PATH: path };
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run("nsenter", this.#enter(args), { ...options, env: { ...this.#env, ...options.env } });
  }

  /** The trimmed output of a command that succeeds. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`${args.join(" ")}: exit code ${code}\n${stderr}${stdout}`);
    return stdout.trim();
  }

  session(args: readonly string[]): Session {
    return new Session("nsenter", this.#enter(args), this.#env);
  }

  terminal(args: readonly string[], options: TerminalOptions = {}): Session {
    return Session.terminal("nsenter", this.#enter(args), { ...options, env: this.#env });
  }

  /** Starts an engine; resolves when `ready`, a command, succeeds. */
  async engine(args: readonly string[], ready: readonly string[]): Promise<void> {
    const output = await open(this.path("engine.log"), "a");
    const child = spawn("nsenter", this.#enter(args), {
      stdio: ["ignore", output.fd, output.fd],
      env: { ...process.env, ...this.#env },
    });
    this.#engines.push(child);
    await output.close();
    const deadline = Date.now() + READY_DEADLINE_MS;
    while ((await this.run(ready)).code !== 0) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`${args[0]} does not start:\n${await this.log()}`);
      }
      await delay(50);
    }
  }

  async log(): Promise<string> {
    const text = await readFile(this.path("engine.log"), "utf8").catch(() => "");
    return text.split("\n").slice(-40).join("\n");
  }

  async folderOf(name: string): Promise<string> {
    await mkdir(this.path(name), { recursive: true });
    return this.path(name);
  }

  /** The cgroup folders of containers: what an engine has given back is not there. */
  async cgroups(): Promise<string[]> {
    const all = await cgroupFolders(this.cgroupParent);
    const own = [this.cgroupParent, "conmon"]; // conmon's is podman's
    return all.filter((path) => !own.includes(basename(path)));
  }

  /** Whether containerd can count here: it cannot where somebody has a v1 hierarchy that is not
   * mounted in these namespaces (another test may), whatever the runtime is. */
  async canCount(): Promise<boolean> {
    const groups = await readFile("/proc/self/cgroup", "utf8");
    const mounts = await this.ok("cat", "/proc/mounts");
    const controllers = [...groups.matchAll(/^\d+:([^:]+):/gm)].map(([, text = ""]) => text);
    return controllers.every((names) => names.split(",").every((name) => mounts.includes(name)));
  }

  /** The ids in the state folders of gantry-runtime below these roots. */
  async states(...roots: string[]): Promise<string[]> {
    const found = await Promise.all(roots.map((path) => readdir(this.seen(path)).catch(() => [])));
    return found.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#init.once("exit", resolve));
    this.#init.stdin!.end();
    if (this.#init.exitCode === null && this.#init.signalCode === null) {
      const late = setTimeout(() => this.#init.kill("SIGKILL"), END_DEADLINE_MS);
      await ended;
      clearTimeout(late);
    }
    await removeCgroupFolders(this.cgroupParent);
    await rm(this.folder, { recursive: true, force: true });
  }
}
