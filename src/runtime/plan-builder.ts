// Collects the three lists of a plan and hands out slots. Numbers below FIRST_FREE have a fixed
// meaning in every plan, so that a dump reads the same everywhere; 40–59 belong to the network.
// Slots that the host half fills before `clone` are inherited by the container half.

import { GantryError } from "../base/index.ts";
import type { Operation, Plan } from "../native/index.ts";

export const SLOT = {
  pid: 0,
  pidfd: 1,
  rootfs: 2,
  devNull: 3,
  netns: 4,
  stdinRead: 5,
  stdinWrite: 6,
  stdoutRead: 7,
  stdoutWrite: 8,
  stderrRead: 9,
  stderrWrite: 10,
  ptyMaster: 11,
  ptySlave: 12,
  temporary: 13,
  self: 14, // holds 0, "the caller", for cgroup.procs
} as const;
const FIRST_FREE = 15;
const NETWORK_FIRST = 40;
const NETWORK_LAST = 59;
const SLOTS = 64;

/** For a moment, in the host half before the network's share: its slots are free until then. */
export const SCRATCH = [NETWORK_LAST - 2, NETWORK_LAST - 1, NETWORK_LAST] as const;

/** Barrier points between the two halves. */
export const POINT = { attached: 1, networked: 2, rooted: 3, hooked: 4 } as const;

export class PlanBuilder {
  readonly host: Operation[] = [];
  readonly container: Operation[] = [];
  readonly teardown: Operation[] = [];
  #free: number[] = [];

  constructor() {
    for (let slot = SLOTS - 1; slot >= FIRST_FREE; slot--) {
      if (slot < NETWORK_FIRST || slot > NETWORK_LAST) this.#free.push(slot);
    }
  }

  /** A slot for something opened before `clone`, or undefined when none is left. */
  tryAllocate(): number | undefined {
    return this.#free.pop();
  }
  allocate(what: string): number {
    const slot = this.#free.pop();
    if (slot === undefined) {
      throw new GantryError("exhausted", `too many descriptors in one plan: no slot for ${what}`);
    }
    return slot;
  }
  free(slot: number): void {
    this.#free.push(slot);
  }
  /** Adds to the host half and returns the operation's index there, for its result. */
  addHost(operation: Operation): number {
    return this.host.push(operation) - 1;
  }
  plan(deadlineMs?: number): Plan {
    const { host, container, teardown } = this;
    return { host, container, teardown, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
  }
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A write of text. */
export function write(path: string, value: string | number, root?: number): Operation {
  const data = text(String(value));
  return root === undefined ? { op: "write", path, data } : { op: "write", root, path, data };
}
