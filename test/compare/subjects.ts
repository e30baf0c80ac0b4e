// The two daemons that are compared: ours, and a real dockerd with its own roots, socket and
// namespaces; and the stock docker CLI of the version that was recorded, which speaks to both.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import Docker from "dockerode";
import { dockerPath, type HeldNamespaces, holdNamespaces, startDaemon } from "../e2e/harness.ts";
import { payloadProgram } from "../payload/payload.ts";
import { dockerCli, dockerConfig } from "../support/docker-plugins.ts";
import { importImage, type Subject } from "./run-script.ts";

const START_DEADLINE_MS = 60_000;

/** `pid` is a process in the namespaces that are the host's for the daemon. */
export type Started = { subject: Subject; pid: number; stop(): Promise<void> };

/** The docker CLI of this major and minor version, wherever it is; undefined without one. */
export function findClient(version: string): string | undefined {
  const wanted = version.split(".").slice(0, 2).join(".");
  const found = [dockerCli(), dockerPath].find(
    (path) => path !== undefined && clientVersion(path)?.startsWith(`${wanted}.`),
  );
  return found;
}

export function clientVersion(path: string): string | undefined {
  try {
    const text = execFileSync(path, ["--version"], { encoding: "utf8" });
    return /version ([\d.]+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

async function clientEnvironment(folder: string, socket: string, client: string | undefined) {
  const bin = join(folder, "cli");
  await mkdir(bin, { recursive: true });
  if (client !== undefined) await symlink(client, join(bin, "docker"));
  return {
    PATH: [bin, process.env["PATH"] ?? ""].join(delimiter),
    DOCKER_HOST: `unix://${socket}`,
    DOCKER_CONFIG: await dockerConfig(join(folder, "client-config")),
    HOME: folder,
    LANG: "C.UTF-8",
    BUILDKIT_PROGRESS: "plain",
    DOCKER_BUILDKIT: "1",
    NO_COLOR: "1",
  };
}

export async function startOurs(client: string | undefined): Promise<Started> {
  const daemon = await startDaemon({ bare: true });
  try {
    const { folder, socket, dockerode } = daemon;
    const subject: Subject = {
      socket,
      docker: dockerode,
      folder,
      env: await clientEnvironment(folder, socket, client),
      paths: [...places(folder), [daemon.cgroupParent, "<cgroup>"]],
    };
    await importImage(subject.docker);
    return { subject, pid: daemon.namespacesPid, stop: () => daemon.stop() };
  } catch (error) {
    await daemon.stop();
    throw error;
  }
}

function places(folder: string): [string, string][] {
  return [
    [join(folder, "data"), "<data>"],
    [join(folder, "exec"), "<exec>"],
    [join(folder, "gantry.sock"), "<socket>"],
    [folder, "<folder>"],
  ];
}

/** `root`: where dockerd, its containerd and its proxy are unpacked. `runc`: what runs in the place
 * of the system's. */
export async function startDockerd(
  root: string,
  client: string | undefined,
  runc?: string,
): Promise<Started> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-e2e-"));
  const host = await holdNamespaces(await payloadProgram());
  const socket = join(folder, "gantry.sock");
  const cgroup = "gantry-test-peer";
  const path = await programs(folder, root, runc);
  const log = await open(join(folder, "log"), "a");
  const daemon = spawn(
    "nsenter",
    [
      ...["-t", String(host.pid), "-n", "-m", "--", join(root, "usr/sbin/dockerd")],
      ...["-H", `unix://${socket}`, "--data-root", join(folder, "data")],
      ...["--exec-root", join(folder, "exec"), "--pidfile", join(folder, "pid")],
      ...["--cgroup-parent", cgroup, "--storage-driver", "overlay2"],
    ],
    { stdio: ["ignore", log.fd, log.fd], env: { ...process.env, PATH: path } },
  );
  await log.close();
  const docker = new Docker({ socketPath: socket });
  const stop = () => stopDockerd(daemon, host, folder);
  try {
    await answers(docker, daemon);
    await importImage(docker);
    const env = await clientEnvironment(folder, socket, client);
    const paths: [string, string][] = [...places(folder), [cgroup, "<cgroup>"]];
    return { subject: { socket, docker, folder, env, paths }, pid: host.pid, stop };
  } catch (error) {
    const text = await readFile(join(folder, "log"), "utf8").catch(() => "");
    await stop();
    throw new Error(`dockerd does not start:\n${text.slice(-3000)}`, { cause: error });
  }
}

/** "" where there is none. */
export function systemRunc(): string {
  return ["/usr/sbin/runc", "/usr/bin/runc"].find((path) => existsSync(path)) ?? "";
}

/** The unpacked programs on a PATH on which the system's runc comes first. */
async function programs(folder: string, root: string, runc = systemRunc()): Promise<string> {
  const bin = join(folder, "bin");
  await mkdir(bin);
  if (runc !== "") await symlink(runc, join(bin, "runc"));
  const unpacked = ["usr/bin", "usr/sbin", "usr/libexec/docker"].map((part) => join(root, part));
  return [bin, ...unpacked, process.env["PATH"] ?? dirname(process.execPath)].join(delimiter);
}

async function answers(docker: Docker, daemon: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const there = await docker.ping().then(
      () => true,
      () => false,
    );
    if (there) return;
    if (daemon.exitCode !== null) throw new Error(`It ended: ${daemon.exitCode}`);
    if (Date.now() > deadline) throw new Error("It does not answer");
    await delay(50);
  }
}

async function stopDockerd(
  daemon: ChildProcess,
  host: HeldNamespaces,
  folder: string,
): Promise<void> {
  if (daemon.exitCode === null && daemon.signalCode === null) {
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill("SIGTERM"); // nsenter has become dockerd
    await ended;
  }
  host.release();
  await rm(folder, { recursive: true, force: true });
}
