// The meaning of an OCI seccomp profile, as data and as a function: which action a system call
// with given arguments gets. The compiler turns the same data into BPF; tests hold the two
// against each other. Semantics are runc's: rules of one system call are alternatives, the
// arguments of one rule are joined, and one that names an argument twice is split.

import { GantryError } from "../../base/index.ts";
import type { OciSeccomp, OciSeccompArg, OciSeccompRule } from "../../spec/index.ts";
import type { SeccompArchitecture } from "./architectures.ts";
import { RET } from "./bpf.ts";

export interface Condition {
  index: number;
  op: "EQ" | "NE" | "LT" | "LE" | "GT" | "GE" | "MASKED_EQ";
  value: bigint;
  mask: bigint; // only for MASKED_EQ: (argument & mask) == value
}
export interface Rule {
  conditions: readonly Condition[]; // none: always
  action: number; // SECCOMP_RET_*, errno included
}
export interface ArchitectureRules {
  architecture: SeccompArchitecture;
  /** By number, with the ABI's bit. Conditional rules first, in order; the first match wins. */
  byNumber: ReadonlyMap<number, readonly Rule[]>;
  defaultAction: number;
  /** Numbers above this one are newer than the profile: ENOSYS lets programs fall back. */
  lastKnown: number;
}

const EPERM = 1;
const ENOSYS = 38;
const ERRNO_MAX = 4095;
export const ENOSYS_ACTION = RET.ERRNO | ENOSYS;
const U64 = (1n << 64n) - 1n;
const U32 = (1n << 32n) - 1n;

const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: RET.KILL_THREAD,
  SCMP_ACT_KILL_THREAD: RET.KILL_THREAD,
  SCMP_ACT_KILL_PROCESS: RET.KILL_PROCESS,
  SCMP_ACT_TRAP: RET.TRAP,
  SCMP_ACT_ERRNO: RET.ERRNO,
  SCMP_ACT_TRACE: RET.TRACE,
  SCMP_ACT_NOTIFY: RET.NOTIFY,
  SCMP_ACT_LOG: RET.LOG,
  SCMP_ACT_ALLOW: RET.ALLOW,
};

export const seccompActionNames: readonly string[] = Object.keys(ACTIONS);
export const seccompOperators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] as const;

/** All actions that a profile names. */
export function actionsOf({ defaultAction, syscalls = [] }: OciSeccomp): Set<string> {
  return new Set([defaultAction, ...syscalls.map(({ action }) => action)]);
}

/** Whether an agent outside is to decide something. */
export const usesAgent = (profile: OciSeccomp): boolean =>
  actionsOf(profile).has("SCMP_ACT_NOTIFY");

export function actionOf(name: string, errnoRet: number | undefined): number {
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
  if (action === undefined) {
    throw new GantryError("invalid", `seccomp: unknown action ${JSON.stringify(name)}`);
  }
  if (action !== RET.ERRNO && action !== RET.TRACE) {
    if (errnoRet === undefined) return action;
    throw new GantryError("invalid", `seccomp: ${name} takes no errnoRet`);
  }
  const errno = errnoRet ?? EPERM;
  if (!Number.isInteger(errno) || errno < 0 || errno > ERRNO_MAX) {
    throw new GantryError("invalid", `seccomp: invalid errnoRet ${errno}`);
  }
  return action | errno;
}

/** The rules of a profile for one ABI. Names that the ABI does not have are passed over. */
export function rulesFor(
  profile: OciSeccomp,
  architecture: SeccompArchitecture,
): ArchitectureRules {
  const defaultAction = actionOf(profile.defaultAction, profile.defaultErrnoRet);
  const byNumber = new Map<number, Rule[]>();
  let last = -1;
  for (const rule of profile.syscalls ?? []) {
    const rules = toRules(rule, architecture);
    for (const name of rule.names) {
      const number = architecture.syscalls.get(name);
      if (number === undefined) continue;
      last = Math.max(last, number);
      const key = number + architecture.bit;
      byNumber.set(key, [...(byNumber.get(key) ?? []), ...rules]);
    }
  }
  for (const [number, rules] of byNumber) {
    const conditional = rules.filter(({ conditions }) => conditions.length > 0);
    const plain = rules.find(({ conditions }) => conditions.length === 0);
    byNumber.set(number, plain ? [...conditional, plain] : conditional);
  }
  const permissive = defaultAction === RET.ALLOW || defaultAction === RET.LOG;
  const lastKnown = permissive || last < 0 ? 0xffffffff : last + architecture.bit;
  return { architecture, byNumber, defaultAction, lastKnown };
}

function toRules(rule: OciSeccompRule, { narrow }: SeccompArchitecture): Rule[] {
  const action = actionOf(rule.action, rule.errnoRet);
  if (!rule.names?.length) throw new GantryError("invalid", "seccomp: a rule without names");
  const conditions = (rule.args ?? []).map((arg) => toCondition(arg, narrow));
  const indexes = new Set(conditions.map(({ index }) => index));
  if (indexes.size === conditions.length) return [{ conditions, action }];
  return conditions.map((condition) => ({ conditions: [condition], action }));
}

function toCondition(arg: OciSeccompArg, narrow: boolean): Condition {
  const width = narrow ? U32 : U64;
  const { index } = arg;
  if (!Number.isInteger(index) || index < 0 || index > 5) {
    throw new GantryError("invalid", `seccomp: invalid argument index ${index}`);
  }
  const op = arg.op.replace(/^SCMP_CMP_/, "") as Condition["op"];
  const value = BigInt.asUintN(64, BigInt(arg.value));
  const second = BigInt.asUintN(64, BigInt(arg.valueTwo ?? 0));
  switch (op) {
    case "MASKED_EQ":
      return { index, op, value: second & width, mask: value & width };
    case "EQ":
    case "NE":
    case "LT":
    case "LE":
    case "GT":
    case "GE":
      return { index, op, value: value & width, mask: width };
    default:
      throw new GantryError("invalid", `seccomp: unknown operator ${JSON.stringify(arg.op)}`);
  }
}

/** What a system call gets: the reference for the compiled filter. */
export function evaluate(
  rules: ArchitectureRules,
  number: number,
  args: readonly bigint[],
): number {
  const own = rules.byNumber.get(number);
  if (own === undefined) return number > rules.lastKnown ? ENOSYS_ACTION : rules.defaultAction;
  const { narrow } = rules.architecture;
  const holds = (c: Condition) => {
    const argument = (args[c.index] ?? 0n) & (narrow ? U32 : U64);
    switch (c.op) {
      case "EQ":
        return argument === c.value;
      case "NE":
        return argument !== c.value;
      case "LT":
        return argument < c.value;
      case "LE":
        return argument <= c.value;
      case "GT":
        return argument > c.value;
      case "GE":
        return argument >= c.value;
      case "MASKED_EQ":
        return (argument & c.mask) === c.value;
    }
  };
  return own.find(({ conditions }) => conditions.every(holds))?.action ?? rules.defaultAction;
}
