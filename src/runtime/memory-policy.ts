// linux.memoryPolicy in the kernel's numbers (set_mempolicy(2)): where the memory of a container's
// processes is taken from. Source: include/uapi/linux/mempolicy.h; runtime-spec config-linux.md.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciLinux } from "../spec/index.ts";
import { numberMask } from "./number-list.ts";

export const memoryPolicyModes: Readonly<Record<string, number>> = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};
export const memoryPolicyFlags: Readonly<Record<string, number>> = {
  MPOL_F_STATIC_NODES: 1 << 15,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_NUMA_BALANCING: 1 << 13,
};
const NODE_MAX = 1023;

/** Throws invalid; what only the kernel can tell (a node without memory) fails when it is set. */
export function planMemoryPolicy(policy: OciLinux["memoryPolicy"]): Operation[] {
  if (!policy) return [];
  const { mode, nodes = "", flags = [] } = policy;
  const lookup = (table: Readonly<Record<string, number>>, name: string, what: string) => {
    const number = Object.hasOwn(table, name) ? table[name] : undefined;
    if (number !== undefined) return number;
    throw new GantryError("invalid", `invalid memory policy ${what}: ${JSON.stringify(name)}`);
  };
  const bits = flags.map((flag) => lookup(memoryPolicyFlags, flag, "flag"));
  const value = bits.reduce((all, bit) => all | bit, lookup(memoryPolicyModes, mode, "mode"));
  return [
    {
      op: "memoryPolicy",
      mode: value,
      ...(nodes !== "" && {
        nodes: numberMask(nodes, { what: "memory node list", max: NODE_MAX }),
      }),
    },
  ];
}
