// Containers of other OCI runtimes: which runtime one has, its bundle, and how its start is known
// to have succeeded. The runtime runs as the process that our monitor watches: see
// runtime/plan-foreign.ts.

import { mkdir, readFile, rm, stat, watch, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../../base/index.ts";
import type { Created, Monitor } from "../../native/index.ts";
import { type ForeignRuntime, foreignSource } from "../../runtime/index.ts";
import type { HostConfig, OciSpec } from "../../spec/index.ts";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import { startTicksOf } from "../explain/parse-proc.ts";
import { configJson } from "./config-json.ts";
import { programOf } from "./registered.ts";

/** What is built in, and its name for clients of docker. */
const BUILTIN = ["runc", "io.containerd.runc.v2"];
const PREFIX =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: ";
const START_DEADLINE_MS = 60_000;
const TEARDOWN_MS_MAX = 3_000;
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_UNKNOWN = 128;

/** Throws invalid in dockerd's words for a name that nobody registered. */
export function checkRuntime(engine: EngineContext, { Runtime: name = "" }: HostConfig): void {
  if (name === "" || BUILTIN.includes(name)) return;
  const found = engine.options.runtimes?.registered[name];
  if (!found) throw new GantryError("invalid", `unknown or invalid runtime name: ${name}`);
  programOf(name, found);
}

/** Undefined where the container is ours to make. */
export function foreignRuntime(
  engine: EngineContext,
  c: ContainerRecord,
): ForeignRuntime | undefined {
  const name = c.hostConfig.Runtime ?? "";
  if (name === "" || BUILTIN.includes(name) || c.isBuildStep) return undefined;
  checkRuntime(engine, c.hostConfig);
  const program = programOf(name, engine.options.runtimes!.registered[name]!);
  return program && { ...program, bundle: join(engine.paths.container(c.id).dir, "bundle") };
}

/** Makes the bundle anew: what a run before left in it would keep the next from starting. */
export async function writeBundle(
  { bundle, root }: ForeignRuntime,
  spec: OciSpec,
  id: string,
): Promise<void> {
  const text = configJson(spec, bundle);
  await rm(bundle, { recursive: true, force: true });
  if (root !== undefined) await rm(join(root, id), { recursive: true, force: true });
  await mkdir(join(bundle, "rootfs"), { recursive: true, mode: 0o711 });
  await mkdir(foreignSource(bundle), { mode: 0o711 });
  await writeFile(join(bundle, "config.json"), text, { mode: 0o600 });
}

/** Resolves when the runtime says that the container's process runs, with that process; throws
 * what it says otherwise, as dockerd does. */
export async function foreignStarted(
  { bundle, root = join(bundle, "state") }: ForeignRuntime,
  created: Created,
  monitor: Monitor,
): Promise<Created> {
  const ending = new AbortController();
  const end = () => ending.abort();
  void monitor.exited.then(end, end);
  const pid = await pidOf(bundle, ending.signal);
  // A program that has ended at once: some runtimes take the pid file away with it. While the
  // runtime runs its process is never the container's: an exec would join the host's root with it.
  if (pid === undefined && ending.signal.aborted && (await hasRun(bundle, root))) return created;
  if (pid === undefined) {
    // Nobody reads what it wrote; its teardown must not meet the next start.
    monitor.release();
    await Promise.race([monitor.closed, delay(TEARDOWN_MS_MAX, undefined, { ref: false })]);
    monitor.close();
    throw await runtimeError(bundle);
  }
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return { ...created, pid, startTicks: BigInt(startTicksOf(text) ?? 0) };
}

/** Whether a runtime that has ended did make the container: it has its folder, and no complaint. */
async function hasRun(bundle: string, root: string): Promise<boolean> {
  const made = await stat(root).then(
    () => true,
    () => false,
  );
  return made && lastError(await readLog(bundle)) === undefined;
}

/** Undefined when the runtime has ended without one, or with one that is gone. */
async function pidOf(bundle: string, ended: AbortSignal): Promise<number | undefined> {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), START_DEADLINE_MS);
  // A runtime that has ended may have written it: looked at once more below.
  const signal = AbortSignal.any([stop.signal, ended]);
  try {
    const changes = watch(bundle, { signal });
    const next = changes[Symbol.asyncIterator]();
    for (;;) {
      const change = next.next();
      change.catch(() => {});
      const pid = await readPid(bundle);
      if (pid !== undefined) return pid;
      // Its exit is told only when somebody has read what it wrote.
      if (lastError(await readLog(bundle)) !== undefined) return undefined;
      // A file that appears is empty at first, where a runtime does not rename it into place.
      await change;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return readPid(bundle);
  } finally {
    clearTimeout(late);
    stop.abort();
  }
}

async function readPid(bundle: string): Promise<number | undefined> {
  const text = await readFile(join(bundle, "pid"), "utf8").catch(() => "");
  return /^\d+$/.test(text.trim()) ? Number(text) : undefined;
}

const readLog = (bundle: string): Promise<string> =>
  readFile(join(bundle, "log.json"), "utf8").catch(() => "");

async function runtimeError(bundle: string): Promise<GantryError> {
  const said =
    lastError(await readLog(bundle)) ?? "the runtime ended without starting the container";
  const exitCode = /executable file not found|no such file or directory/.test(said)
    ? EXIT_NOT_FOUND
    : /permission denied|exec format error/.test(said)
      ? EXIT_NOT_EXECUTABLE
      : EXIT_UNKNOWN;
  return new GantryError("invalid", `${PREFIX}${said}: unknown`, { detail: { exitCode } });
}

/** The last error of a runtime's log, a JSON document a line. Pure. */
export function lastError(log: string): string | undefined {
  for (const line of log.trim().split("\n").toReversed()) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      if ((level === "error" || level === "fatal") && msg) return msg;
    } catch {
      // Some runtimes mix plain lines in.
    }
  }
  return undefined;
}
