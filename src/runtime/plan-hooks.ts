// OCI hooks (config.md, POSIX-platform Hooks): programs that are run at fixed points of a
// container's life with its state on their stdin. Whoever runs a plan knows the pid only then, so
// the state is cut where the pid stands.

import { resolve } from "node:path";
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

/** Throws invalid for a hook that could never run, at whatever point. */
export function checkHooks(hooks: OciSpec["hooks"]): void {
  for (const hook of Object.values(hooks ?? {}).flat()) if (hook) checkHook(hook);
}

function checkHook({ path, timeout }: OciHook): void {
  if (!path?.startsWith("/")) {
    throw new GantryError("invalid", `the path of hook ${JSON.stringify(path)} is not absolute`);
  }
  if (timeout !== undefined && !(timeout > 0)) {
    throw new GantryError("invalid", `hook ${path}: the timeout ${timeout} is not above zero`);
  }
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
    timeoutMs: Math.min(timeout * 1000, DEADLINE_MS_MAX),
    before: o.before,
    ...("slot" in o.pid && { pid: o.pid.slot }),
    after: o.after,
  };
}

/** Whether some hook of these points is there. */
export function hasHooks(hooks: OciSpec["hooks"], ...points: HookPoint[]): boolean {
  return points.some((point) => (hooks?.[point] ?? []).length > 0);
}

/** A hook without a deadline of its own ends its plan, which must end some time, after this. */
const HOOK_MS_MAX = 10 * 60_000;
const PLAN_MS = 30_000;
/** The longest that a plan can be given: 24 days. */
const DEADLINE_MS_MAX = 2 ** 31 - 1;
/** Hooks of the end run within the teardown, which lasts at most 30 seconds. */
const POSTSTOP_MS_MAX = 20_000;

/** How long a plan may take that runs the hooks of these points. */
export function hooksDeadlineMs(hooks: OciSpec["hooks"], ...points: HookPoint[]): number {
  const all = points.flatMap((point) => hooks?.[point] ?? []);
  const each = all.map(({ timeout }) => (timeout ? timeout * 1000 : HOOK_MS_MAX));
  return Math.min(
    each.reduce((sum, ms) => sum + ms, PLAN_MS),
    DEADLINE_MS_MAX,
  );
}

/** Undefined where the usual time is enough. */
export const creationDeadlineMs = (hooks: OciSpec["hooks"]): number | undefined =>
  hasHooks(hooks, ...BEFORE_START) ? hooksDeadlineMs(hooks, ...BEFORE_START) : undefined;

/** The last of a teardown. A hook that fails there is nobody's failure. */
export function planPoststop(input: CreateInput): Operation[] {
  const hooks = input.spec.hooks?.poststop ?? [];
  if (hooks.length === 0) return [];
  const share = Math.floor(POSTSTOP_MS_MAX / hooks.length) / 1000;
  const poststop = hooks.map((hook) => ({
    ...hook,
    timeout: Math.min(hook.timeout || share, share),
  }));
  const state = stateOf(input, "stopped");
  return planHooks({ poststop }, "poststop", { state, pid: { number: 0 } });
}

/** With hooks the root is where the bundle says, for those that run in the container's mount
 * namespace and for those of the host that look into it; else it is over "/". */
export function rootPlace(attach: readonly Operation[], input: CreateInput): Operation[] {
  const { spec, bundle, standalone } = input;
  if (!hasHooks(spec.hooks, ...BEFORE_START)) return [...attach];
  const [only, ...more] = attach;
  const refuse = (why: string) => new GantryError("not-implemented", `hooks need ${why}`);
  if (only?.op !== "moveMount" || more.length > 0) throw refuse("overlay's lowerdir+ (Linux 6.5)");
  const isMapped = spec.linux?.namespaces?.some(({ type }) => type === "user");
  // A mapped root cannot go through the folders of the engine, which are root's alone.
  if (isMapped && !standalone && hasHooks(spec.hooks, "createContainer")) {
    throw refuse("the host's user namespace here: use --userns=host");
  }
  if (isMapped && !standalone) return [only];
  return [{ ...only, path: resolve(bundle ?? "/", spec.root?.path ?? "") }];
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

function stateOf({ id, spec, bundle }: CreateInput, status: OciState["status"]) {
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
