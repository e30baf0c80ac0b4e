// Turns answers of the native program into results and errors. A failure keeps the operation that
// failed, so that a caller can say what could not be done without knowing how plans are run.

import { type ErrorKind, GantryError } from "../base/index.ts";
import type { PlanFailure, PlanResults } from "./contract.ts";
import { Cursor, errnoName } from "./frames.ts";
import type { Plan, PlanHalf } from "./operations.ts";

const HALVES = ["host", "container", "teardown"] as const satisfies PlanHalf[];

const KINDS: Record<string, ErrorKind> = {
  ENOENT: "not-found",
  ESRCH: "not-found",
  EEXIST: "conflict",
  EBUSY: "conflict",
  EACCES: "forbidden",
  EPERM: "forbidden",
  EINVAL: "invalid",
  ENAMETOOLONG: "invalid",
  ENOSPC: "exhausted",
  EDQUOT: "exhausted",
  EMFILE: "exhausted",
  ENFILE: "exhausted",
  ENOMEM: "exhausted",
  E2BIG: "exhausted",
  EAGAIN: "exhausted",
  ETIMEDOUT: "timeout",
  ECANCELED: "cancelled",
  ENOSYS: "not-implemented",
};

/** Reads a FAIL frame's payload into an error whose `detail` is a PlanFailure. */
export function decodeFailure(payload: Buffer, plan?: Partial<Plan>): GantryError {
  const cursor = new Cursor(payload);
  const half = HALVES[cursor.u8()];
  const index = cursor.u32();
  const number = cursor.i32();
  const text = cursor.str();
  const teardown: PlanFailure["teardown"] = [];
  while (cursor.left >= 8) teardown.push({ index: cursor.u32(), errno: errnoName(cursor.i32()) });
  const errno = errnoName(number);
  const operation = half === undefined ? undefined : plan?.[half]?.[index];
  const failure: PlanFailure = {
    half: half ?? "host",
    index,
    operation,
    errno,
    number,
    text,
    teardown,
  };
  const what = operation === undefined ? "The native program failed" : `Failed to ${operation.op}`;
  const why = text === "" ? errno : `${text} (${errno})`;
  return new GantryError(KINDS[errno] ?? "internal", `${what}: ${why}`, {
    detail: { ...failure },
  });
}

/** Reads `u32 count`, then `u32 index | u32 length | bytes` each. */
export function decodeResults(cursor: Cursor): PlanResults {
  const byIndex = new Map<number, Buffer>();
  const count = cursor.left >= 4 ? cursor.u32() : 0;
  for (let i = 0; i < count; i++) {
    const index = cursor.u32();
    byIndex.set(index, cursor.bytes(cursor.u32()));
  }
  return resultsOf(byIndex);
}

/** Results from a map; the recorder uses it too. */
export function resultsOf(byIndex: ReadonlyMap<number, Uint8Array>): PlanResults {
  const bytes = (index: number): Uint8Array => {
    const data = byIndex.get(index);
    if (data === undefined) {
      throw new GantryError("internal", `Operation ${index} of the plan reported nothing`);
    }
    return data;
  };
  return {
    has: (index) => byIndex.has(index),
    bytes,
    ints(index) {
      const data = bytes(index);
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      return Array.from({ length: data.byteLength >> 3 }, (_, i) => view.getBigInt64(i * 8, true));
    },
  };
}
