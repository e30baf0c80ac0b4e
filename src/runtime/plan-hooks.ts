// OCI hooks (config.md, POSIX-platform Hooks): programs that are run at fixed points of a
// container's life with its state on their stdin. Whoever runs a plan knows the pid only then, so
// the state is cut where the pid stands.

import type { Operation } from "../native/index.ts";
import type { OciHook, OciSpec } from "../spec/index.ts";

export type HookPoint =
  | "prestart"
  | "createRuntime"
  | "createContainer"
  | "startContainer"
  | "poststart"
  | "poststop";

/** The state of a container as the runtime specification has it (runtime.md, State). */
export interface OciState {
  ociVersion: string;
  id: string;
  status: "creating" | "created" | "running" | "stopped";
  pid?: number;
  bundle: string;
  annotations?: Record<string, string>;
}

const PID_MARK = 4_294_967_291; // no pid is that large

/** Runs the hooks of a point in their order; the first that fails ends the plan. `pid`: the slot
 * that holds the container's, or its number. */
export function planHooks(
  hooks: OciSpec["hooks"],
  point: HookPoint,
  { state, pid }: { state: Omit<OciState, "pid">; pid: { slot: number } | { number: number } },
): Operation[] {
  const number = "number" in pid ? pid.number : PID_MARK;
  const { annotations, ...rest } = state;
  const text = JSON.stringify({ ...rest, pid: number, ...(annotations && { annotations }) });
  const mark = "number" in pid ? -1 : text.indexOf(`"pid":${PID_MARK}`) + '"pid":'.length;
  const before = mark < 0 ? text : text.slice(0, mark);
  const after = mark < 0 ? "" : text.slice(mark + String(PID_MARK).length);
  return (hooks?.[point] ?? []).map((hook) => operationOf(hook, { before, after, pid }));
}

function operationOf(
  { path, args, env = [], timeout = 0 }: OciHook,
  o: { before: string; after: string; pid: { slot: number } | { number: number } },
): Operation {
  return {
    op: "runHook",
    path,
    argv: args?.length ? args : [path],
    env,
    timeoutMs: timeout * 1000,
    before: o.before,
    ...("slot" in o.pid && { pid: o.pid.slot }),
    after: o.after,
  };
}

/** Whether some hook of these points is there. */
export function hasHooks(hooks: OciSpec["hooks"], ...points: HookPoint[]): boolean {
  return points.some((point) => (hooks?.[point] ?? []).length > 0);
}
