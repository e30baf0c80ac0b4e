// What the tests in a machine share: a daemon's containers, made over the API (a client's start
// takes a second there), and their cgroup folders read from outside.

import { execFileSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import type { HostConfig } from "dockerode";
import { IMAGE, startDaemon, type TestDaemon } from "../e2e/harness.ts";
import { until } from "../support/deadline.ts";

export const MIB = 1 << 20;
/** Of the ids that user namespaces get. */
export const USERNS_START = 700_000_000;
/** A block device for limits of io, whose file is in memory; another one is swap. */
export const DISK = "/dev/loop7";
export const DISK_NUMBERS = "7:7";
export const DISK_MIB = 8;
const DISK_FILE = "/var/tmp/gantry-disk";
const SWAP = "/dev/ram0";
const SWAP_MIB = 16;
export const CGROUPS = "/sys/fs/cgroup";

export interface Ended {
  code: number;
  output: string;
}

export class GuestDaemon {
  readonly #args: string[];
  #daemon: TestDaemon | undefined;

  /** `args` are the daemon's. */
  constructor(...args: string[]) {
    this.#args = args;
  }

  static async start(...args: string[]): Promise<GuestDaemon> {
    const guest = new GuestDaemon(...args);
    await guest.begin();
    return guest;
  }

  get daemon(): TestDaemon {
    if (!this.#daemon) throw new Error("The daemon is not started");
    return this.#daemon;
  }

  async begin(): Promise<void> {
    execFileSync("modprobe", ["loop"]);
    execFileSync("truncate", ["-s", `${DISK_MIB}M`, DISK_FILE]);
    execFileSync("losetup", [DISK, DISK_FILE]);
    execFileSync("modprobe", ["brd", "rd_nr=1", `rd_size=${SWAP_MIB * 1024}`]);
    execFileSync("mkswap", [SWAP], { stdio: "ignore" });
    execFileSync("swapon", [SWAP]);
    this.#daemon = await startDaemon({
      args: ["--userns-pool", `${USERNS_START}:262144`, ...this.#args],
    });
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
    execFileSync("swapoff", [SWAP]);
    execFileSync("losetup", ["-d", DISK]);
  }

  /** The id of a container that runs. */
  async start(command: string[], hostConfig: HostConfig = {}): Promise<string> {
    const container = await this.daemon.dockerode.createContainer({
      Image: IMAGE,
      Cmd: command,
      HostConfig: { NetworkMode: "none", ...hostConfig },
    });
    await container.start();
    return container.id;
  }

  /** Runs to the end and removes it. */
  async run(command: string[], hostConfig: HostConfig = {}): Promise<Ended> {
    const id = await this.start(command, hostConfig);
    const ended = await this.ended(id);
    await this.remove(id);
    return ended;
  }

  async exitCode(id: string): Promise<number> {
    const answer: unknown = await this.daemon.dockerode.getContainer(id).wait();
    return (answer as { StatusCode: number }).StatusCode;
  }

  async ended(id: string): Promise<Ended> {
    const code = await this.exitCode(id);
    const container = this.daemon.dockerode.getContainer(id);
    const logs = await container.logs({ stdout: true, stderr: true, follow: false });
    return { code, output: unframed(logs) };
  }

  remove(id: string): Promise<void> {
    return this.daemon.dockerode.getContainer(id).remove({ force: true });
  }

  folder(id: string): string {
    return `${CGROUPS}/${this.daemon.cgroupParent}/${id}`;
  }

  async read(id: string, file: string): Promise<string> {
    return (await readFile(`${this.folder(id)}/${file}`, "utf8")).trim();
  }

  /** One number of a file of "key value" lines. */
  async count(id: string, file: string, key: string): Promise<number> {
    const line = new RegExp(`^${key} (\\d+)$`, "m").exec(await this.read(id, file));
    if (!line) throw new Error(`${file} has no ${key}`);
    return Number(line[1]);
  }

  async pid(id: string): Promise<number> {
    const { State } = await this.daemon.dockerode.getContainer(id).inspect();
    return State.Pid;
  }

  /** Runs a command in a container to its end. */
  async exec(id: string, ...command: string[]): Promise<Ended> {
    const exec = await this.daemon.dockerode.getContainer(id).exec({
      Cmd: command,
      AttachStdout: true,
      AttachStderr: true,
    });
    const stream = await exec.start({});
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const { ExitCode } = await exec.inspect();
    return { code: ExitCode ?? -1, output: unframed(Buffer.concat(chunks)) };
  }
}

/** For what prints more than a log should keep. */
export const UNLOGGED: HostConfig = { LogConfig: { Type: "none", Config: {} } };

/** Both streams of Docker's frames, in the order they came. */
function unframed(data: Buffer): string {
  let text = "";
  for (let at = 0; at + 8 <= data.length; ) {
    const size = data.readUInt32BE(at + 4);
    text += data.toString("utf8", at + 8, at + 8 + size);
    at += 8 + size;
  }
  return text;
}

export async function isGone(folder: string): Promise<void> {
  await until(`the end of ${folder}`, () =>
    readdir(folder).then(
      () => false,
      () => true,
    ),
  );
}
