// A health check that runs a command in the container: an exec whose output is kept up to a limit,
// and which is killed when its time is over.

import { randomBytes } from "node:crypto";
import { formatDuration } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce, commandLine } from "./announce.ts";
import { launchExec } from "./exec.ts";
import { limitOutput } from "./health-rules.ts";
import type { ExecInstance } from "./live.ts";
import type { ContainerRecord } from "./record.ts";
import { SIGKILL } from "./signals.ts";
import { explainExecFailure } from "./start-failure.ts";

const NS_PER_MS = 1e6;
/** What is kept of the framed output; limitOutput cuts the text. */
const FRAMED_BYTES_MAX = 64 << 10;

export async function probeCommand(
  engine: EngineContext,
  c: ContainerRecord,
  o: { command: string[]; timeoutMs: number; signal: AbortSignal },
): Promise<{ ExitCode: number; Output: string }> {
  const { monitor } = engine.live.of(c.id);
  if (!monitor) return { ExitCode: -1, Output: "The container is not running" };
  const exec: ExecInstance = {
    id: randomBytes(32).toString("hex"),
    containerId: c.id,
    config: { Cmd: o.command, AttachStdout: true, AttachStderr: true },
    detachKeys: "",
    running: true,
    started: true,
    exitCode: null,
    pid: 0,
  };
  const line = commandLine(o.command);
  announce(engine, c, `exec_create: ${line}`, { execID: exec.id });
  announce(engine, c, `exec_start: ${line}`, { execID: exec.id });
  try {
    await launchExec(engine, c, exec, { monitor, hold: true, consoleSize: undefined });
  } catch (error) {
    throw explainExecFailure(o.command[0]!, error).error;
  }
  const stream = await monitor.attach(exec.id, { stdin: false, stdout: true, stderr: true });
  monitor.release(exec.id);
  let timedOut = false;
  const kill = (): void => void monitor.kill(exec.id, SIGKILL).catch(() => {});
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
    stream.destroy();
  }, o.timeoutMs);
  o.signal.addEventListener("abort", kill, { once: true });
  try {
    const output = await collect(stream);
    const status = await exec.exited!;
    if (!timedOut) return { ExitCode: status.code, Output: limitOutput(output) };
    const why = `Health check exceeded timeout (${formatDuration(o.timeoutMs * NS_PER_MS)})`;
    const said = output.length > 0 ? `: ${limitOutput(output)}` : "";
    return { ExitCode: -1, Output: `${why}${said}` };
  } finally {
    clearTimeout(timer);
    o.signal.removeEventListener("abort", kill);
  }
}

/** The text in the multiplexed frames of `stream`; read to its end, kept up to a limit. */
async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    for await (const chunk of stream) {
      if (total < FRAMED_BYTES_MAX) chunks.push(chunk);
      total += chunk.length;
    }
  } catch {
    // Cut by the timeout.
  }
  const all = Buffer.concat(chunks);
  const texts: Buffer[] = [];
  for (let at = 0; at + 8 <= all.length; ) {
    const length = all.readUInt32BE(at + 4);
    texts.push(all.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(texts);
}
