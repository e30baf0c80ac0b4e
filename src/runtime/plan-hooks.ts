// OCI hooks (config.md, POSIX-platform Hooks): programs that are run at fixed points of a
// container's life with its state on their stdin. Whoever runs a plan knows the pid only then, so
// the state is cut where the pid stands.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciHook, OciSpec } from "../spec/index.ts";
import type { CreateInput } from "./contract.ts";
import { type PlanBuilder, POINT, SLOT } from "./plan-builder.ts";

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

/** Hooks of the host's namespaces, when all is mounted and before the root changes. */
export function planHostHooks(builder: PlanBuilder, input: CreateInput): void {
  const { hooks } = input.spec;
  if (!hasHooks(hooks, ...BEFORE_START)) return;
  const o = { state: stateOf(input, "creating"), pid: { slot: SLOT.pid } };
  builder.host.push(
    { op: "awaitPeer", point: POINT.rooted },
    ...planHooks(hooks, "prestart", o),
    ...planHooks(hooks, "createRuntime", o),
    { op: "sendSlot", slot: SLOT.pid },
    { op: "signalPeer", point: POINT.hooked },
  );
}

const BEFORE_START = ["prestart", "createRuntime", "createContainer", "startContainer"] as const;

function stateOf({ id, spec, bundle }: CreateInput, status: "creating" | "created") {
  if (bundle === undefined) throw new GantryError("internal", "hooks need a bundle");
  const { ociVersion, annotations } = spec;
  return { ociVersion, id, status, bundle, ...(annotations && { annotations }) };
}

/** The container's part: it learns its pid, and runs the hooks that belong into its namespaces. */
export function planContainerHooks(builder: PlanBuilder, input: CreateInput): void {
  const { hooks } = input.spec;
  if (!hasHooks(hooks, ...BEFORE_START)) return;
  builder.container.push(
    { op: "signalPeer", point: POINT.rooted },
    { op: "awaitPeer", point: POINT.hooked },
    { op: "receiveSlot", to: SLOT.pid },
    ...planHooks(hooks, "createContainer", {
      state: stateOf(input, "creating"),
      pid: { slot: SLOT.pid },
    }),
  );
}

/** The pause between create and start, and the hooks after it. */
export function planStart(input: CreateInput, startSlot: number | undefined): Operation[] {
  const { hooks, process } = input.spec;
  const operations: Operation[] = [];
  if (startSlot !== undefined) {
    operations.push(
      { op: "checkProgram", argv: process!.args ?? [], env: process!.env ?? [] },
      { op: "awaitStart", slot: startSlot },
    );
  }
  if (hasHooks(hooks, "startContainer")) {
    const state = stateOf(input, "created");
    operations.push(...planHooks(hooks, "startContainer", { state, pid: { slot: SLOT.pid } }));
  }
  return operations;
}
