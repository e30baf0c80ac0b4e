// Exec: a further process in a running container, child of the same monitor. Its record lives in
// memory, as docker's does, and is gone with the run of its container.

import { randomBytes } from "node:crypto";
import { GantryError } from "../../base/index.ts";
import type { Monitor } from "../../native/index.ts";
import type { ExecConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import type { AttachStream, ExecState, Signal } from "../contract.ts";
import { adviseStart } from "../explain/advise-start.ts";
import { userOf } from "./accounts.ts";
import { announce, commandLine } from "./announce.ts";
import { AttachPipe } from "./attach-pipe.ts";
import { DETACH_KEYS_DEFAULT, DetachFilter, parseDetachKeys } from "./detach-keys.ts";
import { prepareExec } from "./launch.ts";
import type { ExecInstance } from "./live.ts";
import { type ContainerRecord, isPaused, isRestarting, isRunning } from "./record.ts";
import { explainExecFailure } from "./start-failure.ts";
import { withProgram, wordsInstead } from "./unfit-program.ts";

const ID_BYTES = 32;
/** The exit follows the end of the streams on another socket, within moments. */
const EXIT_AFTER_STREAMS_MS_MAX = 500;
/** Output waits this long for the attach that follows the start. */
const HOLD_MS = 10_000;

export async function createExec(
  engine: EngineContext,
  ref: string,
  config: ExecConfig,
): Promise<{ id: string }> {
  const c = engine.containers.find(ref);
  if (!config.Cmd?.length) throw new GantryError("invalid", "No exec command specified");
  requireRunning(engine, c);
  const keys = config.DetachKeys || DETACH_KEYS_DEFAULT;
  checkKeys(keys);
  if (config.User) await userOf(engine, c, config.User); // refuses whom the container has not
  const exec: ExecInstance = {
    id: randomBytes(ID_BYTES).toString("hex"),
    containerId: c.id,
    config,
    detachKeys: keys,
    running: false,
    started: false,
    exitCode: null,
    pid: 0,
  };
  engine.live.of(c.id).execs.set(exec.id, exec);
  engine.live.execs.set(exec.id, exec);
  announce(engine, c, `exec_create: ${commandLine(config.Cmd)}`, { execID: exec.id });
  return { id: exec.id };
}

export interface ExecStartOptions extends Signal {
  detach: boolean;
  tty: boolean;
  consoleSize?: [number, number];
  detachKeys?: string;
}

function checkKeys(keys: string): void {
  try {
    parseDetachKeys(keys);
  } catch (cause) {
    throw new GantryError("invalid", `Invalid escape keys (${keys}) provided`, { cause });
  }
}

/** Commit point: the command has been exec'd. Without detach, resolves with its streams. */
export async function startExec(
  engine: EngineContext,
  execId: string,
  o: ExecStartOptions,
): Promise<AttachStream | undefined> {
  const exec = findExec(engine, execId);
  const c = engine.containers.find(exec.containerId);
  if (exec.started) {
    const state = exec.running ? "is already running" : "has already run";
    throw new GantryError("conflict", `exec command ${exec.id} ${state}`);
  }
  const monitor = requireRunning(engine, c);
  const keys = parseDetachKeys(o.detachKeys || exec.detachKeys);
  exec.started = true;
  exec.running = true;
  announce(engine, c, `exec_start: ${commandLine(exec.config.Cmd)}`, { execID: exec.id });
  const wantsStreams = !o.detach;
  try {
    await launchExec(engine, c, exec, { monitor, hold: wantsStreams, consoleSize: o.consoleSize });
  } catch (error) {
    const failure = explainExecFailure(exec.config.Cmd[0]!, error);
    exec.running = false;
    exec.exitCode = failure.exitCode;
    engine.live.endExec(exec);
    throw await adviseStart(engine, c, failure.error);
  }
  if (!wantsStreams) return undefined;
  const tty = exec.config.Tty === true;
  const stdin = exec.config.AttachStdin === true;
  const inner = await monitor.attach(exec.id, {
    stdin,
    stdout: exec.config.AttachStdout !== false || tty,
    stderr: exec.config.AttachStderr !== false,
  });
  inner.once("close", () => {
    exec.streamsEnded = true;
  });
  monitor.release(exec.id);
  if (!tty || !stdin) return { tty, stream: inner };
  const pipe = new AttachPipe(new DetachFilter(keys), () =>
    announce(engine, c, "exec_detach", { execID: exec.id }),
  );
  pipe.connect(inner);
  return { tty, stream: pipe };
}

/** Also the way of health checks. Resolves when the command runs; `exec.exited` follows it. */
export async function launchExec(
  engine: EngineContext,
  c: ContainerRecord,
  exec: ExecInstance,
  o: { monitor: Monitor; hold: boolean; consoleSize: [number, number] | undefined },
): Promise<void> {
  const plan = await prepareExec(engine, c, exec, o.consoleSize);
  const options = {
    terminal: exec.config.Tty === true,
    openStdin: exec.config.AttachStdin === true,
    holdMs: o.hold ? HOLD_MS : 0,
  };
  const started = await o.monitor.exec(exec.id, plan, options).catch(async (error) => {
    const explain = (e: unknown) => explainExecFailure(exec.config.Cmd[0]!, e);
    const words = await wordsInstead(engine, c, error, explain);
    if (words === undefined) throw error;
    return await o.monitor.exec(exec.id, withProgram(plan, words), options);
  });
  exec.pid = started.pid;
  exec.exited = started.exited;
  void started.exited.then(
    (status) => finishExec(engine, c, exec, status.code),
    () => finishExec(engine, c, exec, exec.exitCode ?? 137),
  );
}

function finishExec(
  engine: EngineContext,
  c: ContainerRecord,
  exec: ExecInstance,
  exitCode: number,
): void {
  exec.running = false;
  exec.exitCode = exitCode;
  engine.live.endExec(exec);
  announce(engine, c, "exec_die", { execID: exec.id, exitCode: String(exitCode) });
}

export async function inspectExec(engine: EngineContext, execId: string): Promise<ExecState> {
  const exec = findExec(engine, execId);
  // Clients ask for the exit code as soon as the output has ended.
  if (exec.running && exec.streamsEnded && exec.exited) await settled(exec.exited);
  const [entrypoint = "", ...args] = exec.config.Cmd;
  return {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: exec.config.Tty === true,
      entrypoint,
      arguments: args,
      privileged: exec.config.Privileged === true,
      ...(exec.config.User && { user: exec.config.User }),
    },
    OpenStdin: exec.config.AttachStdin === true,
    OpenStderr: exec.config.AttachStderr === true,
    OpenStdout: exec.config.AttachStdout === true,
    CanRemove: false,
    ContainerID: exec.containerId,
    DetachKeys: exec.config.DetachKeys
      ? Buffer.from(parseDetachKeys(exec.detachKeys)).toString("latin1")
      : "",
    Pid: exec.pid,
  };
}

/** Waits for a promise, but not for long: a process may close its streams and go on. */
async function settled(promise: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, EXIT_AFTER_STREAMS_MS_MAX);
  await Promise.race([promise.catch(() => {}), late]);
  clearTimeout(timer);
}

export async function resizeExec(
  engine: EngineContext,
  execId: string,
  rows: number,
  columns: number,
): Promise<void> {
  const exec = findExec(engine, execId);
  const monitor = engine.live.peek(exec.containerId)?.monitor;
  if (!exec.running || !monitor) {
    throw new GantryError("conflict", `exec ${execId} is not running`);
  }
  if (exec.config.Tty) await monitor.resize(exec.id, rows, columns);
}

function findExec(engine: EngineContext, id: string): ExecInstance {
  const exec = engine.live.execs.get(id);
  if (!exec) throw new GantryError("not-found", `No such exec instance: ${id}`);
  return exec;
}

function requireRunning(engine: EngineContext, c: ContainerRecord): Monitor {
  const monitor = engine.live.of(c.id).monitor;
  if (isRestarting(c)) {
    throw new GantryError(
      "conflict",
      `Container ${c.id} is restarting, wait until the container is running`,
    );
  }
  if (!isRunning(c) || !monitor) {
    throw new GantryError("conflict", `container ${c.id} is not running`);
  }
  if (isPaused(c)) {
    throw new GantryError(
      "conflict",
      `Container ${c.name} is paused, unpause the container before exec`,
    );
  }
  return monitor;
}
