// What the benchmark compares: ours, Debian's dockerd and podman, each with its own data root and
// in namespaces of its own, so that they neither share state nor touch the host's network.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  dockerPath,
  type HeldNamespaces,
  holdNamespaces,
  IMAGE,
  root,
  startDaemon,
} from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import { payloadProgram, payloadRootfs } from "../payload/payload.ts";

const START_DEADLINE_MS = 60_000;

export type Engine = {
  name: string;
  /** The whole client, to be followed by `run …`. */
  command: string[];
  env: Record<string, string>;
  /** Absent for an engine without a daemon. */
  socket?: string;
  daemonPids(): Promise<number[]>;
  stop(): Promise<void>;
};

/** Ours with our own client and, over the same daemon, with the stock one. */
export async function startGantry(): Promise<Engine[]> {
  const daemon = await startDaemon();
  const common = {
    env: daemon.env,
    socket: daemon.socket,
    daemonPids: async () => [await daemon.pid()],
  };
  const ours: Engine = {
    ...common,
    name: "gantry",
    command: [join(root, "bin/gantry")],
    stop: () => daemon.stop(),
  };
  if (dockerPath === undefined) return [ours];
  return [
    ours,
    { ...common, name: "docker cli → gantry", command: [dockerPath], stop: async () => {} },
  ];
}

/** GANTRY_BENCH_DOCKERD, or the first in PATH. */
function dockerdPath(): string | undefined {
  const folders = `${process.env["PATH"]}:/usr/sbin`.split(":");
  const found = folders.map((folder) => join(folder, "dockerd")).find((path) => existsSync(path));
  return process.env["GANTRY_BENCH_DOCKERD"] ?? found;
}

export async function startDockerd(): Promise<Engine | undefined> {
  const program = dockerdPath();
  if (program === undefined || dockerPath === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "gantry-bench-dockerd-"));
  const host = await holdNamespaces(await payloadProgram());
  const socket = join(folder, "docker.sock");
  const pidfile = join(folder, "pid");
  const log = await open(join(folder, "log"), "a");
  const daemon = spawn(
    "nsenter",
    [
      ...["-t", String(host.pid), "-n", "-m", "--", program, "-H", `unix://${socket}`],
      ...["--data-root", join(folder, "data"), "--exec-root", join(folder, "exec")],
      ...["--pidfile", pidfile, "--cgroup-parent", "gantry-bench-docker"],
    ],
    {
      stdio: ["ignore", log.fd, log.fd],
      // Its containerd may lie beside it; the system's runc comes first.
      env: { ...process.env, PATH: `${process.env["PATH"]}:${dirname(program)}` },
    },
  );
  await log.close();
  const env = { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: join(folder, "client") };
  const engine: Engine = {
    name: "dockerd",
    command: [dockerPath],
    env,
    socket,
    daemonPids: async () => {
      const pid = Number(await readFile(pidfile, "utf8"));
      const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
      return [pid, ...children.trim().split(" ").filter(Boolean).map(Number)];
    },
    stop: () => stopPeer(daemon, host, folder),
  };
  try {
    await answers(socket, daemon);
    await importImage(engine);
  } catch (error) {
    const text = await readFile(join(folder, "log"), "utf8").catch(() => "");
    console.error(
      `dockerd does not start here:\n${text.split("\n").slice(-5).join("\n")}\n${error}`,
    );
    await engine.stop();
    return undefined;
  }
  return engine;
}

export async function startPodman(): Promise<Engine | undefined> {
  if (!existsSync("/usr/bin/podman")) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "gantry-bench-podman-"));
  const host = await holdNamespaces(await payloadProgram());
  await mkdir(join(folder, "data"));
  // Its default limits need CAP_SYS_RESOURCE, which not every machine has.
  const conf = join(folder, "containers.conf");
  const limits = 'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]';
  await writeFile(conf, `[containers]\n${limits}\n`);
  const engine: Engine = {
    name: "podman",
    command: [
      ...["nsenter", "-t", String(host.pid), "-n", "-m", "--", "podman"],
      ...["--root", join(folder, "data"), "--runroot", join(folder, "run")],
      ...["--cgroup-manager", "cgroupfs", "--storage-driver", "overlay"],
    ],
    env: { CONTAINERS_CONF: conf },
    daemonPids: async () => [],
    stop: () => stopPeer(undefined, host, folder),
  };
  try {
    await importImage(engine);
    await output(engine, ["run", "--rm", "--network", "none", IMAGE, "true"]);
  } catch (error) {
    console.error(`podman does not run here: ${error}`);
    await engine.stop();
    return undefined;
  }
  return engine;
}

/** Runs the client to its end; throws with what it said when it fails. */
export async function output(engine: Engine, args: string[]): Promise<string> {
  const [command, ...first] = engine.command;
  const { code, stdout, stderr } = await run(command!, [...first, ...args], { env: engine.env });
  if (code !== 0) throw new Error(`${engine.name} ${args.join(" ")}: ${code}: ${stderr}`);
  return stdout.trim();
}

async function importImage(engine: Engine): Promise<void> {
  const archive = join(await mkdtemp(join(tmpdir(), "gantry-bench-image-")), "rootfs.tar");
  await writeFile(archive, await payloadRootfs());
  await output(engine, ["import", "-c", "ENV PATH=/bin", archive, IMAGE]);
  await rm(join(archive, ".."), { recursive: true });
}

async function answers(socket: string, daemon: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const there = await new Promise<boolean>((resolve) => {
      const connection = createConnection(socket);
      connection.on("connect", () => connection.end("GET /_ping HTTP/1.0\r\n\r\n"));
      connection.on("data", (chunk) => resolve(chunk.includes(" 200 ")));
      connection.on("error", () => resolve(false));
      connection.on("close", () => resolve(false));
    });
    if (there) return;
    if (daemon.exitCode !== null || Date.now() > deadline) throw new Error("It does not answer");
    await delay(100);
  }
}

async function stopPeer(
  daemon: ChildProcess | undefined,
  host: HeldNamespaces,
  folder: string,
): Promise<void> {
  if (daemon !== undefined && daemon.exitCode === null) {
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill("SIGTERM");
    await ended;
  }
  host.release();
  await delay(300); // the mounts of its namespace go with its last process
  await rm(folder, { recursive: true, force: true }).catch((error) => console.error(String(error)));
}
