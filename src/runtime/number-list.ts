// Lists of CPUs and memory nodes as the kernel writes them, "0-3,8", and the bit masks that its
// system calls take.

import { GantryError } from "../base/index.ts";

interface Limits {
  what: string;
  max: number;
}
const CPUS: Limits = { what: "cpu list", max: 8191 };

/** The numbers in a list, ascending. Throws invalid. */
export function parseNumberList(list: string, { what, max }: Limits): number[] {
  const numbers = new Set<number>();
  for (const part of list.split(",")) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || last < first || last > max) {
      throw new GantryError("invalid", `invalid ${what} ${JSON.stringify(list)}`);
    }
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}

/** A list as a bit mask of whole longs. Throws invalid. */
export function numberMask(list: string, limits: Limits): Uint8Array {
  const mask: number[] = [];
  for (const number of parseNumberList(list, limits)) {
    while (mask.length <= number >> 3) mask.push(0);
    mask[number >> 3]! |= 1 << (number & 7);
  }
  while (mask.length % 8 !== 0) mask.push(0);
  return Uint8Array.from(mask);
}

/** The numbers in a cpuset list such as "0-3,8". Throws invalid. */
export const parseCpuList = (list: string): number[] => parseNumberList(list, CPUS);

/** "0-3,8" for sched_setaffinity. Throws invalid. */
export const cpuMask = (list: string): Uint8Array => numberMask(list, CPUS);
