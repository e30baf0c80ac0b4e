// Plans that the caller's own process runs (gantry-runtime): requests and answers as
// native/runtime.h has them.

import { GantryError } from "../base/index.ts";
import type { PlanResults } from "./contract.ts";
import { encodePlan } from "./encode.ts";
import { decodeFailure, decodeResults } from "./failure.ts";
import { Cursor, frameType } from "./frames.ts";
import type { Plan } from "./operations.ts";

const RUN = 1;
const CREATE = 2;
const WAIT = 3;

export type DirectRequest =
  | { kind: "run"; plan: Pick<Plan, "host"> & Partial<Plan> }
  | {
      kind: "create";
      plan: Plan;
      /** Descriptors from 3 on that the process inherits. */
      preserveFds: number;
      /** Where its terminal goes; "": kept by the caller's process. */
      consoleSocket: string;
    }
  | { kind: "wait"; pid: number; terminal: boolean };

export interface DirectAnswer {
  pid: number;
  startTicks: bigint;
  results: PlanResults;
  exitCode: number;
}

export function encodeDirect(request: DirectRequest): Buffer {
  switch (request.kind) {
    case "run":
      return Buffer.concat([Buffer.from([RUN]), encodePlan(request.plan)]);
    case "create": {
      const path = Buffer.from(request.consoleSocket);
      const head = Buffer.alloc(9);
      head.writeUInt8(CREATE, 0);
      head.writeUInt32LE(request.preserveFds, 1);
      head.writeUInt32LE(path.length, 5);
      return Buffer.concat([head, path, Buffer.alloc(1), encodePlan(request.plan)]);
    }
    case "wait": {
      const body = Buffer.alloc(6);
      body.writeUInt8(WAIT, 0);
      body.writeUInt32LE(request.pid, 1);
      body.writeUInt8(request.terminal ? 1 : 0, 5);
      return body;
    }
  }
}

/** Throws the failure that an answer tells of. */
export function decodeAnswer(request: DirectRequest, answer: Buffer): DirectAnswer {
  const cursor = new Cursor(answer);
  const type = cursor.u8();
  if (type === frameType.fail) {
    throw decodeFailure(answer.subarray(1), request.kind === "wait" ? undefined : request.plan);
  }
  if (type !== frameType.ok) {
    throw new GantryError("internal", `The native program sent an answer of type ${type}`);
  }
  const nothing = { pid: 0, startTicks: 0n, exitCode: 0 };
  if (request.kind === "run") return { ...nothing, results: decodeResults(cursor) };
  if (request.kind === "wait") {
    return { ...nothing, exitCode: cursor.u32(), results: decodeResults(cursor) };
  }
  const pid = cursor.u32();
  const startTicks = cursor.u64();
  cursor.u32(); // whose child it is
  return { ...nothing, pid, startTicks, results: decodeResults(cursor) };
}
