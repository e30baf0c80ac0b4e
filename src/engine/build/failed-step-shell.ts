// A shell in a failed step: a container like the step's own, over the same files and mounts, with
// the same environment, user and folder, but with somebody's terminal.

import { errnoOf, Rollback } from "../../base/index.ts";
import type { Created } from "../../native/index.ts";
import { connectStarted } from "../containers/ended-monitor.ts";
import { prepareLaunch } from "../containers/launch.ts";
import { attachNetworks, detachNetworks } from "../containers/networking.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { SIGKILL } from "../containers/signals.ts";
import { explainStartFailure } from "../containers/start-failure.ts";
import type { EngineContext } from "../context.ts";
import type { Shell, ShellOptions } from "./contract.ts";
import type { LeftStep } from "./run.ts";
import type { Workspace } from "./workspace.ts";

const HOLD_MS = 10_000;
const SHELL = /(^|\/)(ba|z|a|da|fi|k)?sh$/;

/** `ended` resolves when nothing of the shell is left. */
export async function openShell(
  engine: EngineContext,
  left: LeftStep,
  o: ShellOptions & { workspace: Workspace; signal: AbortSignal },
): Promise<Shell> {
  const { signal } = o;
  const c = await recordOf(left, o);
  const undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what} of a shell in a build step`, { id: c.id, error }),
  );
  try {
    signal.throwIfAborted();
    const attached = await attachNetworks(engine, c);
    undo.defer("network", () => detachNetworks(engine, c, attached.records));
    const planned = await prepareLaunch(engine, c, attached, { holdMs: HOLD_MS });
    const created = await engine.native.create(planned.plan, planned.monitor).catch((error) => {
      throw explainStartFailure(c, error).error;
    });
    let hasEnded = false;
    // Its number may be another's by then.
    undo.defer("process", () => hasEnded || kill(created));
    const monitor = await connectStarted(engine, c, created.monitorPid);
    void monitor.exited.then(
      () => {
        hasEnded = true;
      },
      () => {},
    );
    const gone = monitor.exited.catch(() => undefined).then(() => monitor.closed);
    undo.defer("monitor", async () => {
      await monitor.kill("", SIGKILL).catch(() => {});
      await gone;
      monitor.close();
    });
    const streams = { stdin: true, stdout: true, stderr: true };
    const stream = await monitor.attach("", streams);
    const { size } = o;
    if (o.tty && size) await monitor.resize("", size.rows, size.columns);
    monitor.release();
    const stop = () => void monitor.kill("", SIGKILL).catch(() => {});
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    // Who goes away without a word leaves no shell behind.
    stream.once("close", stop);
    const ended = monitor.exited.finally(async () => {
      await gone;
      signal.removeEventListener("abort", stop);
      await undo.undo();
    });
    ended.catch(() => {});
    const resize: Shell["resize"] = async ({ rows, columns }) =>
      await monitor.resize("", rows, columns);
    return { stream, resize, ended: ended.then(({ code }) => code) };
  } catch (error) {
    await undo.undo();
    throw error;
  }
}

async function recordOf(
  { record, args }: LeftStep,
  { args: wanted, tty, workspace }: ShellOptions & { workspace: Workspace },
): Promise<ContainerRecord> {
  const [path = "/bin/sh", ...rest] = wanted?.length ? wanted : shellOf(args);
  // A volatile overlay takes a work folder once.
  const mounts = await Promise.all(
    record.mounts.map(async (mount) => {
      const layers = "layers" in mount ? (mount.layers as { workDir: string }) : undefined;
      return layers
        ? { ...mount, layers: { ...layers, workDir: await workspace.scratch() } }
        : mount;
    }),
  );
  const env = record.config.Env ?? [];
  const terminal = env.some((entry) => entry.startsWith("TERM=")) ? [] : ["TERM=xterm"];
  const config = {
    ...record.config,
    ...{ Tty: tty, OpenStdin: true, StdinOnce: true, AttachStdin: true },
    Env: tty ? [...env, ...terminal] : env,
  };
  return { ...record, path, args: rest, config, mounts: mounts as ContainerRecord["mounts"] };
}

/** The shell that the step itself was run by, or the usual one. */
function shellOf([first = ""]: readonly string[]): string[] {
  return [SHELL.test(first) ? first : "/bin/sh"];
}

function kill({ pid }: Created): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}
