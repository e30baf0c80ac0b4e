// Turns a plan into the bytes of native/WIRE.md. What cannot be encoded (a NUL in a string, a slot
// out of range) is refused here, with the operation's name, before anything has happened.

import { GantryError } from "../base/index.ts";
import type { MonitorConfig } from "./contract.ts";
import { type Operation, operations, type Patch, type Plan } from "./operations.ts";

const PLAN_MAGIC = 0x314c5047;
const SLOTS = 64;
const DEADLINE_MS_DEFAULT = 30_000;
const HALVES = { host: 0, container: 1, teardown: 2 } as const;
const NO_HALF = 3;
const fieldKind = {
  slot: 1,
  int: 2,
  str: 3,
  bytes: 4,
  strs: 5,
  ints: 6,
  flag: 7,
  patches: 8,
} as const;

/** A growing buffer, so that a plan is one allocation or a few. */
class Writer {
  #data = Buffer.allocUnsafe(4096);
  #length = 0;

  /** Call it before `#data` is looked at: it may put a larger buffer there. */
  #room(bytes: number): number {
    const start = this.#length;
    this.#length += bytes;
    if (this.#length > this.#data.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#data.length * 2));
      this.#data.copy(grown, 0, 0, start);
      this.#data = grown;
    }
    return start;
  }
  get length(): number {
    return this.#length;
  }
  u8(value: number): void {
    const start = this.#room(1);
    this.#data.writeUInt8(value, start);
  }
  u16(value: number): void {
    const start = this.#room(2);
    this.#data.writeUInt16LE(value, start);
  }
  u32(value: number): void {
    const start = this.#room(4);
    this.#data.writeUInt32LE(value, start);
  }
  i32(value: number): void {
    const start = this.#room(4);
    this.#data.writeInt32LE(value, start);
  }
  i64(value: number | bigint): void {
    const start = this.#room(8);
    this.#data.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), start);
  }
  bytes(data: Uint8Array): void {
    const start = this.#room(data.length);
    this.#data.set(data, start);
  }
  str(text: string): void {
    if (text.includes("\0")) throw new GantryError("invalid", "A string holds a NUL byte");
    const length = Buffer.byteLength(text);
    this.u32(length);
    const start = this.#room(length + 1);
    this.#data.write(text, start, "utf8");
    this.#data[start + length] = 0;
  }
  patchU32(at: number, value: number): void {
    this.#data.writeUInt32LE(value, at);
  }
  done(): Buffer {
    return this.#data.subarray(0, this.#length);
  }
}

function writeSlot(out: Writer, value: unknown): void {
  const slot = (value ?? -1) as number;
  if (!Number.isInteger(slot) || slot < -1 || slot >= SLOTS) {
    throw new GantryError("invalid", `Slot ${slot} is not between 0 and ${SLOTS - 1}`);
  }
  out.i32(slot);
}

const writeField: Record<keyof typeof fieldKind, (out: Writer, value: unknown) => void> = {
  slot: writeSlot,
  int: (out, value) => out.i64((value ?? 0) as number | bigint),
  str: (out, value) => out.str((value ?? "") as string),
  bytes: (out, value) => {
    const data = (value ?? new Uint8Array()) as Uint8Array;
    out.u32(data.length);
    out.bytes(data);
  },
  strs: (out, value) => {
    const list = (value ?? []) as readonly string[];
    out.u32(list.length);
    for (const text of list) out.str(text);
  },
  ints: (out, value) => {
    const list = (value ?? []) as readonly (number | bigint)[];
    out.u32(list.length);
    for (const number of list) out.i64(number);
  },
  flag: (out, value) => out.u8(value ? 1 : 0),
  patches: (out, value) => {
    const list = (value ?? []) as readonly Patch[];
    out.u32(list.length);
    for (const { offset, slot, width } of list) {
      out.u32(offset);
      out.i32(slot);
      out.u8(width);
    }
  },
};

function writeOperation(out: Writer, operation: Operation): void {
  const { code, fields } = operations[operation.op];
  const entries = Object.entries(fields) as [string, string][];
  out.u16(code);
  out.u16(entries.length);
  const lengthAt = out.length;
  out.u32(0);
  for (const [name, kind] of entries) {
    const bare = kind.split("?")[0] as keyof typeof fieldKind;
    const value = (operation as unknown as Record<string, unknown>)[name];
    if (value === undefined && !kind.endsWith("?")) {
      throw new GantryError("invalid", `Operation ${operation.op} lacks "${name}"`);
    }
    out.u8(fieldKind[bare]);
    try {
      writeField[bare](out, value);
    } catch (cause) {
      throw new GantryError("invalid", `Operation ${operation.op} has a bad "${name}"`, { cause });
    }
  }
  out.patchU32(lengthAt, out.length - lengthAt - 4);
}

/** Returns the bytes of a plan. */
export function encodePlan(plan: Pick<Plan, "host"> & Partial<Plan>): Buffer {
  const out = new Writer();
  const { host, container = [], teardown = [], failAt } = plan;
  out.u32(PLAN_MAGIC);
  out.u32(Math.max(1, Math.ceil(plan.deadlineMs ?? DEADLINE_MS_DEFAULT)));
  out.u32(failAt === undefined ? NO_HALF : HALVES[failAt.half]);
  out.u32(failAt?.index ?? 0);
  out.i32(failAt?.errno ?? 0);
  for (const half of [host, container, teardown]) out.u32(half.length);
  for (const half of [host, container, teardown]) {
    for (const operation of half) writeOperation(out, operation);
  }
  return out.done();
}

/** Returns what stands before the plan in a CREATE frame. */
export function encodeMonitorConfig(config: MonitorConfig): Buffer {
  const out = new Writer();
  out.u32(0);
  out.str(config.id);
  out.str(config.socketPath);
  out.str(config.exitPath);
  out.str(config.log?.path ?? "");
  out.i64(Math.max(0, config.log?.maxBytes ?? 0));
  out.u32(config.log?.maxFiles ?? 1);
  out.str(config.log?.attrs ?? "");
  out.u8(config.log?.format === "binary" ? 1 : 0);
  out.i64(config.log?.spoolBytes ?? 0);
  out.u8(config.log?.blocking === false ? 0 : 1);
  out.i64(config.log?.queueBytes ?? 0);
  out.u8(config.terminal ? 1 : 0);
  out.u8(config.stdinOnce ? 1 : 0);
  out.u8(config.openStdin ? 1 : 0);
  out.u32(config.holdMs);
  out.str(config.oomPath);
  const own = config.cgroupProcs ?? [];
  out.u32(own.length);
  for (const path of own) out.str(path);
  out.patchU32(0, out.length - 4);
  return out.done();
}

/** The payload of a POOL frame. */
export function encodeStrings(list: readonly string[]): Buffer {
  const out = new Writer();
  out.u32(list.length);
  for (const text of list) out.str(text);
  return out.done();
}

/** The payload of an EXEC frame. */
export function encodeExec(
  execId: string,
  options: { terminal: boolean; openStdin: boolean; holdMs: number },
  plan: Plan,
): Buffer {
  const out = new Writer();
  out.str(execId);
  out.u8(options.terminal ? 1 : 0);
  out.u8(options.openStdin ? 1 : 0);
  out.u32(options.holdMs);
  return Buffer.concat([out.done(), encodePlan(plan)]);
}

/** The payload of RELEASE, KILL, RESIZE and ATTACH: a process and some small numbers. */
export function encodeProcess(
  process: string,
  numbers: readonly { width: 1 | 2 | 4; value: number }[] = [],
): Buffer {
  const out = new Writer();
  out.str(process);
  for (const { width, value } of numbers) {
    if (width === 1) out.u8(value);
    else if (width === 2) out.u16(value);
    else out.i32(value);
  }
  return out.done();
}
