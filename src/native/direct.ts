// Plans that the caller's own process runs (gantry-runtime), and what else it does for its
// command: requests and answers as native/runtime.h has them.

import { GantryError } from "../base/index.ts";
import type { PlanResults } from "./contract.ts";
import { encodePlan } from "./encode.ts";
import { decodeFailure, decodeResults } from "./failure.ts";
import { Cursor, frameType } from "./frames.ts";
import type { Plan } from "./operations.ts";

const REQUEST = {
  run: 1,
  create: 2,
  wait: 3,
  lock: 4,
  unlock: 5,
  watch: 6,
  listen: 7,
  notify: 8,
} as const;
const CREATE_SUBREAPER = 1;

/** What a watch tells of. */
export const directEvents = { oom: 1, gone: 2 } as const;

export type DirectRequest =
  | { kind: "run"; plan: Pick<Plan, "host"> & Partial<Plan> }
  | {
      kind: "create";
      plan: Plan;
      /** Descriptors from 3 on that the process inherits. */
      preserveFds: number;
      /** Orphans of the process fall to the caller's. */
      subreaper?: boolean;
      /** Where its terminal goes; "": kept by the caller's process. */
      consoleSocket: string;
      /** Where a pidfd of it goes, and the text that goes with it; "": nowhere. */
      pidfdSocket?: string;
      pidfdText?: string;
    }
  | { kind: "wait"; pid: number; terminal: boolean }
  /** Waits until no other process has locked the folder. Fails with ENOENT, ETIMEDOUT. */
  | { kind: "lock"; folder: string; waitMs: number }
  | { kind: "unlock" }
  /** Events of a cgroup's memory.oom_control or memory.events from now on. */
  | { kind: "watch"; path: string }
  /** A socket at `path` for what the container's program tells its service manager. */
  | { kind: "listen"; path: string }
  /** Hands on that the program is ready; ends with `pid`. `mainPid` 0: the caller's own. */
  | { kind: "notify"; manager: string; pid: number; mainPid: number; background: boolean };

export interface DirectAnswer {
  pid: number;
  startTicks: bigint;
  results: PlanResults;
  exitCode: number;
}

export function encodeDirect(request: DirectRequest): Buffer {
  const parts: Uint8Array[] = [u8(REQUEST[request.kind])];
  switch (request.kind) {
    case "run":
      parts.push(encodePlan(request.plan));
      break;
    case "create":
      parts.push(u32(request.preserveFds), u8(request.subreaper ? CREATE_SUBREAPER : 0));
      parts.push(str(request.consoleSocket), str(request.pidfdSocket), str(request.pidfdText));
      parts.push(encodePlan(request.plan));
      break;
    case "wait":
      parts.push(u32(request.pid), u8(request.terminal ? 1 : 0));
      break;
    case "lock":
      parts.push(str(request.folder), u32(request.waitMs));
      break;
    case "watch":
    case "listen":
      parts.push(str(request.path));
      break;
    case "notify":
      parts.push(str(request.manager), u32(request.pid), u32(request.mainPid));
      parts.push(u8(request.background ? 1 : 0));
      break;
    case "unlock":
  }
  return Buffer.concat(parts);
}

const u8 = (value: number): Buffer => Buffer.from([value]);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function str(text = ""): Buffer {
  if (text.includes("\0")) throw new GantryError("invalid", "a path with a NUL byte");
  const bytes = Buffer.from(text);
  return Buffer.concat([u32(bytes.length), bytes, u8(0)]);
}

/** Throws the failure that an answer tells of. */
export function decodeAnswer(request: DirectRequest, answer: Buffer): DirectAnswer {
  const cursor = new Cursor(answer);
  const type = cursor.u8();
  if (type === frameType.fail) {
    throw decodeFailure(answer.subarray(1), "plan" in request ? request.plan : undefined);
  }
  if (type !== frameType.ok) {
    throw new GantryError("internal", `The native program sent an answer of type ${type}`);
  }
  const nothing = { pid: 0, startTicks: 0n, exitCode: 0 };
  if (request.kind === "wait") {
    return { ...nothing, exitCode: cursor.u32(), results: decodeResults(cursor) };
  }
  if (request.kind !== "create") return { ...nothing, results: decodeResults(cursor) };
  const pid = cursor.u32();
  const startTicks = cursor.u64();
  cursor.u32(); // whose child it is
  return { ...nothing, pid, startTicks, results: decodeResults(cursor) };
}

/** What a caller's process answers that has done all that `request` says, and found nothing. */
export function encodeSuccess(
  request: Uint8Array,
  made: Pick<DirectAnswer, "pid" | "startTicks">,
): Buffer {
  const nothing = [u8(frameType.ok), u32(0)];
  if (request[0] === REQUEST.wait) return Buffer.concat([...nothing, u32(0)]);
  if (request[0] !== REQUEST.create) return Buffer.concat(nothing);
  const ticks = Buffer.alloc(8);
  ticks.writeBigUInt64LE(made.startTicks);
  return Buffer.concat([u8(frameType.ok), u32(made.pid), ticks, u32(0), u32(0)]);
}
