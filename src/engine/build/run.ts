// RUN: a container that no user sees, through the same plans as every other one. It has no record,
// no log and no name; its writable layer becomes the step's layer. What a crash leaves is stray to
// the next boot, which removes it.

import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { GantryError, Rollback } from "../../base/index.ts";
import type { RunRequest, StepOutput } from "../../build/index.ts";
import type { Created, Monitor } from "../../native/index.ts";
import { type ContainerConfig, chainIds, type HostConfig } from "../../spec/index.ts";
import type { Lease } from "../../storage/index.ts";
import { connectStarted } from "../containers/ended-monitor.ts";
import { wantedEndpoints } from "../containers/endpoints.ts";
import { completeHostConfig } from "../containers/host-config.ts";
import { prepareLaunch } from "../containers/launch.ts";
import { attachNetworks, detachNetworks } from "../containers/networking.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { SIGKILL } from "../containers/signals.ts";
import { explainStartFailure } from "../containers/start-failure.ts";
import { holdUserns } from "../containers/user-namespace.ts";
import type { EngineContext } from "../context.ts";
import { NEVER, timestamp } from "../timestamps.ts";
import { readFrames } from "./frames.ts";
import { type MountPlace, removeMountPoints, stepMounts } from "./run-mounts.ts";
import type { StepRemains } from "./step-remains.ts";
import { findTarget } from "./target.ts";

export interface RunPlace extends MountPlace {
  lease: Lease;
  /** Limits of resources, network, hosts: the same for every step of a build. */
  hostConfig: HostConfig;
  hostname: string;
  /** Clears up after steps that have made their layer. */
  remains: StepRemains;
  /** Takes over what a failed step leaves, where somebody wants to look at it (--debug). */
  keepFailed?: (step: LeftStep) => void;
}
/** A step that failed: its files and mounts are there until `undo`. */
export interface LeftStep {
  record: ContainerRecord;
  exitCode: number;
  args: readonly string[];
  undo: Rollback;
}

const ID_BYTES = 32;
/** How long output waits in its pipe for us to attach. */
const HOLD_MS = 10_000;

/** Returns the layer's diff id. Throws invalid, with the exit code in `detail`, when the command
 * fails. Commit point: none; everything goes but the layer. */
export async function runStep(
  place: RunPlace,
  request: RunRequest,
  output: StepOutput,
): Promise<string> {
  const { engine, lease } = place;
  const { signal } = output;
  await place.remains.room();
  signal.throwIfAborted();
  const c = recordOf(place, request);
  const giveBack = holdUserns(engine, c);
  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what} of a build step`, { id: c.id, error }),
  );
  undo.defer("user namespace", giveBack);
  const { dir } = engine.paths.container(c.id);
  await mkdir(dir, { mode: 0o710 });
  undo.defer("folder", () => rm(dir, { recursive: true, force: true }));
  const rootfs = await engine.storage.snapshots.prepare(c.id, c.diffIds, {
    ...{ volatile: true, bare: true },
  });
  undo.defer("snapshot", () => engine.storage.snapshots.remove(c.id));
  const given = await stepMounts(place, request, undo, signal);
  c.mounts = given.mounts;
  // The name alone: no HOSTNAME but the step's own, as in BuildKit.
  c.config.Env = ["HOSTNAME", ...request.env, ...given.env];
  const points = await missingPoints(place, request, given.mounts, signal);
  output.started(c.id);
  const notice = once(() => output.ended(c.id));
  undo.defer("notice", notice);
  const { exitCode, rest } = await runContainer(engine, c, output);
  // Whatever goes wrong from here on: the container goes before its files.
  undo.defer("container", () => rest.undo());
  signal.throwIfAborted();
  if (exitCode !== 0) await rest.undo();
  if (exitCode !== 0) {
    const { args } = request;
    place.keepFailed?.({ record: c, exitCode, args, undo: undo.handOver() });
    throw failed(request, exitCode);
  }
  if (rootfs.kind !== "overlay") throw new GantryError("internal", "a step needs an overlay");
  await removeMountPoints(place, request.root, rootfs.upperDir, points);
  const layer = await engine.storage.layers.adopt(rootfs.upperDir, { lease, signal });
  notice();
  place.remains.take(undo.handOver().undo());
  return layer.diffId;
}

function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) work();
    isDone = true;
  };
}

/** What has to be made to mount on, deepest first. */
async function missingPoints(
  place: RunPlace,
  { root }: RunRequest,
  mounts: readonly { Destination: string }[],
  signal: AbortSignal,
): Promise<string[]> {
  const missing = new Set<string>();
  for (const { Destination: path } of mounts) {
    const view = place.workspace.view(root);
    const target = await findTarget({ engine: place.engine, signal }, view, path);
    if (target.exists) continue;
    for (const made of [...target.missing, target.path]) missing.add(made);
  }
  return [...missing].sort((a, b) => b.length - a.length);
}

function failed({ args }: RunRequest, exitCode: number): GantryError {
  const message = `The command '${args.join(" ")}' returned a non-zero code: ${exitCode}`;
  return new GantryError("invalid", message, { detail: { exitCode, args } });
}

/** What a container's record would say, for the parts of the engine that work with one. */
function recordOf({ engine, ...place }: RunPlace, request: RunRequest): ContainerRecord {
  const { args, user, workingDir, root, network, security } = request;
  const hostConfig = completeHostConfig(engine, {
    ...place.hostConfig,
    ...(network !== "default" && { NetworkMode: network }),
    ...(security === "insecure" && { Privileged: true }),
    LogConfig: { Type: "none", Config: {} },
    Init: false,
  });
  const config: ContainerConfig = {
    Hostname: place.hostname,
    User: user,
    WorkingDir: workingDir,
  };
  const [path = "", ...rest] = args;
  const id = randomBytes(ID_BYTES).toString("hex");
  const mode = hostConfig.NetworkMode ?? "bridge";
  const endpoints = wantedEndpoints(engine, mode, {});
  return {
    ...{ id, name: `build-${id.slice(0, 12)}`, created: timestamp(), path, args: rest },
    imageId: chainIds(root.layers).at(-1) ?? "",
    ...{ imageName: "", platform: "linux", diffIds: [...root.layers], config, hostConfig },
    ...{ endpoints, mounts: [], manuallyStopped: false, restartCount: 0 },
    ...{
      isBuildStep: true,
      startedAt: NEVER,
      finishedAt: NEVER,
      exitCode: 0,
      oomKilled: false,
      error: "",
    },
  };
}

/** From its networks to the end of its processes, whatever way they end; its exit code. `rest`:
 * what the kernel and the monitor still have of it. */
async function runContainer(
  engine: EngineContext,
  c: ContainerRecord,
  output: StepOutput,
): Promise<{ exitCode: number; rest: Rollback }> {
  const { signal } = output;
  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what} of a build step`, { id: c.id, error }),
  );
  signal.throwIfAborted();
  const attached = await attachNetworks(engine, c);
  undo.defer("network", () => detachNetworks(engine, c, attached.records));
  const planned = await prepareLaunch(engine, c, attached, { holdMs: HOLD_MS });
  signal.throwIfAborted();
  const created = await start(engine, c, () => engine.native.create(planned.plan, planned.monitor));
  let hasEnded = false;
  undo.defer("process", () => hasEnded || kill(created));
  const monitor = await connectStarted(engine, c, created.monitorPid);
  const ended = () => monitor.exited.catch(() => undefined).then(() => monitor.closed);
  // Its cgroup and its mounts are gone before its network and its files go.
  undo.defer("monitor", async () => {
    await monitor.kill("", SIGKILL).catch(() => {});
    await ended();
    monitor.close();
  });
  const stop = () => void monitor.kill("", SIGKILL).catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) stop();
    await follow(monitor, output);
    // Its pid namespace has ended with it: nobody writes to its files any more.
    const { code } = await monitor.exited;
    hasEnded = true;
    return { exitCode: code, rest: undo.handOver() };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** A failure to start in docker's words. */
async function start<T>(
  engine: EngineContext,
  c: ContainerRecord,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    engine.log.debug("Failed to start a build step", { id: c.id, error });
    throw explainStartFailure(c, error).error;
  }
}

async function follow(monitor: Monitor, output: StepOutput): Promise<void> {
  const stream = await monitor.attach("", { stdin: false, stdout: true, stderr: true });
  const leave = () => stream.destroy();
  output.signal.addEventListener("abort", leave, { once: true });
  try {
    monitor.release();
    if (output.signal.aborted) leave();
    for await (const { name, data } of readFrames(stream)) await output.write(name, data);
  } catch (error) {
    if (!output.signal.aborted) throw error;
  } finally {
    output.signal.removeEventListener("abort", leave);
    stream.destroy();
  }
}

function kill({ pid }: Created): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
