// An OCI seccomp profile to the bytes of a filter. Numbers that get the same treatment are joined
// into ranges and found by binary search, so that every system call pays for about seven
// comparisons, not for its place in a list of four hundred. Results are kept: a daemon compiles
// each profile once.

import { GantryError } from "../../base/index.ts";
import type { OciSeccomp } from "../../spec/index.ts";
import type { KernelFeatures } from "../contract.ts";
import {
  architectureNames,
  architectures,
  nativeArchitecture,
  type SeccompArchitecture,
} from "./architectures.ts";
import {
  and,
  argumentHigh,
  argumentLow,
  branch,
  CODE,
  DATA,
  encodeProgram,
  INSTRUCTIONS_MAX,
  type Instruction,
  load,
  RET,
  ret,
} from "./bpf.ts";
import {
  type ArchitectureRules,
  actionsOf,
  type Condition,
  ENOSYS_ACTION,
  type Rule,
  rulesFor,
  usesAgent,
} from "./rules.ts";

export interface CompiledSeccomp {
  filter: Uint8Array;
  flags: number;
  /** The filter's notify descriptor goes to the profile's agent. */
  agent?: true;
}

export const seccompFlags: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0, // whoever loads it has one thread
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
};
/** Without it the kernel would slow every filtered process down (speculative store bypass). */
const FLAGS_DEFAULT = seccompFlags["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]!;
const CACHED_MAX = 64;

const cache = new Map<string, CompiledSeccomp>();
const byProfile = new WeakMap<OciSeccomp, CompiledSeccomp>();

/** For spreading into CredentialInput: {} where there is no profile. Throws invalid. */
export function compileSeccomp(
  profile: OciSeccomp | undefined,
  kernel: Pick<KernelFeatures, "arch" | "seccompActions">,
): { seccomp?: CompiledSeccomp } {
  if (!profile) return {};
  if (kernel.seccompActions.length === 0) {
    throw new GantryError(
      "invalid",
      "seccomp is not enabled in your kernel, cannot run a custom seccomp profile",
    );
  }
  let compiled = byProfile.get(profile);
  if (compiled) return { seccomp: compiled };
  const key = `${kernel.arch} ${JSON.stringify(profile, (_, v) => (typeof v === "bigint" ? `${v}n` : v))}`;
  compiled = cache.get(key) ?? compile(profile, kernel);
  cache.set(key, compiled);
  byProfile.set(profile, compiled);
  if (cache.size > CACHED_MAX) cache.delete(cache.keys().next().value!);
  return { seccomp: compiled };
}

function compile(
  profile: OciSeccomp,
  { arch, seccompActions }: Pick<KernelFeatures, "arch" | "seccompActions">,
): CompiledSeccomp {
  for (const name of actionsOf(profile)) {
    const needed = KERNEL_NAMES[name];
    if (needed !== undefined && !seccompActions.includes(needed)) {
      throw new GantryError("invalid", `seccomp: the kernel does not have the action ${name}`);
    }
  }
  const agent = usesAgent(profile);
  if (agent && !profile.listenerPath) {
    throw new GantryError("invalid", "seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
  }
  if (profile.listenerMetadata && !profile.listenerPath) {
    throw new GantryError("invalid", "seccomp: listenerMetadata needs a listenerPath");
  }
  const program = compileProgram(covered(profile, arch).map((a) => rulesFor(profile, a)));
  const flags = flagsOf(profile, agent);
  return { filter: encodeProgram(program), flags, ...(agent && { agent }) };
}

/** What not every kernel has, as /proc/sys/kernel/seccomp/actions_avail names it. */
const KERNEL_NAMES: Readonly<Record<string, string>> = {
  SCMP_ACT_KILL_PROCESS: "kill_process", // 4.14
  SCMP_ACT_LOG: "log", // 4.14
  SCMP_ACT_NOTIFY: "user_notif", // 5.0
};

function flagsOf(profile: OciSeccomp, agent: boolean): number {
  let flags = profile.flags === undefined ? FLAGS_DEFAULT : 0;
  for (const name of profile.flags ?? []) {
    const flag = Object.hasOwn(seccompFlags, name) ? seccompFlags[name] : undefined;
    if (flag === undefined) {
      throw new GantryError("invalid", `seccomp flag ${JSON.stringify(name)} is not known`);
    }
    flags |= flag;
  }
  if (!agent && flags & seccompFlags["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]!) {
    const what = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs SCMP_ACT_NOTIFY";
    throw new GantryError("invalid", `seccomp: ${what}`);
  }
  return flags;
}

/** The native ABI is always covered; one that this host cannot run (or we do not know) is not. */
function covered(profile: OciSeccomp, arch: KernelFeatures["arch"]): SeccompArchitecture[] {
  const native = nativeArchitecture[arch];
  for (const name of profile.architectures ?? []) {
    if (architectureNames.includes(name)) continue;
    throw new GantryError("invalid", `seccomp: unknown architecture ${JSON.stringify(name)}`);
  }
  const family = arch === "x86_64" ? /X86|X32/ : /AARCH64|ARM/;
  const others = (profile.architectures ?? [])
    .filter((name) => name !== native.name && family.test(name))
    .map((name) => architectures.get(name))
    .filter((a) => a !== undefined);
  return [native, ...new Set(others)];
}

/** A program over the given ABIs; any other is killed. */
export function compileProgram(all: readonly ArchitectureRules[]): Instruction[] {
  const audits = new Map<number, ArchitectureRules[]>();
  for (const rules of all) {
    const { audit } = rules.architecture;
    audits.set(audit, [...(audits.get(audit) ?? []), rules]);
  }
  let program: Instruction[] = [ret(RET.KILL_PROCESS)];
  for (const [audit, abis] of [...audits].reverse()) {
    program = branch(CODE.JEQ, audit, [load(DATA.nr), ...numbers(abis)], program);
  }
  program = [load(DATA.arch), ...program];
  if (program.length > INSTRUCTIONS_MAX) {
    throw new GantryError("invalid", `seccomp: the profile is too large (${program.length})`);
  }
  return program;
}

/** A range of numbers [from, next range's from) and what to do with them. */
interface Range {
  from: number;
  body: Instruction[];
  key: string;
}

const NUMBERS_END = 0x100000000;

function numbers(abis: readonly ArchitectureRules[]): Instruction[] {
  const ranges: Range[] = [];
  const add = (from: number, body: Instruction[]) => {
    const key = JSON.stringify(body);
    if (ranges.at(-1)?.key !== key) ranges.push({ from, body, key });
  };
  const killed = [ret(RET.KILL_PROCESS)];
  const ordered = [...abis].sort((a, b) => a.architecture.bit - b.architecture.bit);
  if (ordered[0]!.architecture.bit > 0) add(0, killed);
  for (const [i, rules] of ordered.entries()) {
    const start = rules.architecture.bit;
    // The next ABI's bit; without that ABI, x86_64 still ends where the x32 numbers begin.
    const isX86 = rules.architecture.name === "SCMP_ARCH_X86_64";
    const end = ordered[i + 1]?.architecture.bit ?? (isX86 ? 0x40000000 : NUMBERS_END);
    addNumbers(add, rules, start, end);
    if (ordered[i + 1] === undefined && end < NUMBERS_END) add(end, killed);
  }
  return search(ranges);
}

function addNumbers(
  add: (from: number, body: Instruction[]) => void,
  rules: ArchitectureRules,
  start: number,
  end: number,
): void {
  const rest = [ret(rules.defaultAction)];
  const known = [...rules.byNumber].sort(([a], [b]) => a - b);
  let at = start;
  for (const [number, own] of known) {
    if (number > at) add(at, rest);
    add(number, bodyOf(own, rules.defaultAction));
    at = number + 1;
  }
  if (rules.lastKnown + 1 < end && rules.lastKnown !== 0xffffffff) {
    add(rules.lastKnown + 1, [ret(ENOSYS_ACTION)]);
  } else if (at < end) add(at, rest);
}

/** Binary search over ranges with the number in A. */
function search(ranges: readonly Range[]): Instruction[] {
  if (ranges.length === 1) return ranges[0]!.body;
  const middle = ranges.length >> 1;
  const below = search(ranges.slice(0, middle));
  const above = search(ranges.slice(middle));
  return branch(CODE.JGE, ranges[middle]!.from, above, below);
}

/** Rule after rule; one whose conditions do not hold jumps to the next. */
function bodyOf(rules: readonly Rule[], defaultAction: number): Instruction[] {
  const body = rules.flatMap(ruleCode);
  // What follows a rule without conditions is never reached.
  return rules.at(-1)?.conditions.length === 0 ? body : [...body, ret(defaultAction)];
}

function ruleCode({ conditions, action }: Rule): Instruction[] {
  const code: Instruction[] = [];
  const tests = conditions.map(conditionCode);
  let left = tests.reduce((sum, test) => sum + test.length, 0) + 1;
  for (const test of tests) {
    for (const [i, step] of test.entries()) {
      const distance = { on: 0, met: test.length - 1 - i, missed: left - 1 };
      if ("jump" in step) {
        const [operation, k] = step.jump;
        code.push({ code: operation, jt: distance[step.yes], jf: distance[step.no], k: k >>> 0 });
      } else code.push(step);
      left--;
    }
  }
  code.push(ret(action));
  return code;
}

/** Where a comparison leads: to the next instruction, past this condition, or past this rule. */
type Target = "on" | "met" | "missed";
type Step = Instruction | { jump: [code: number, k: number]; yes: Target; no: Target };

/** 64-bit comparison out of 32-bit halves. Arguments of a narrow ABI have no upper half. */
function conditionCode(c: Condition): Step[] {
  const high = Number(c.value >> 32n);
  const low = Number(c.value & 0xffffffffn);
  const jump = (code: number, k: number, yes: Target, no: Target): Step => ({
    jump: [code, k],
    yes,
    no,
  });
  const loadHigh = load(argumentHigh(c.index));
  const loadLow = load(argumentLow(c.index));
  const { JEQ, JGT, JGE } = CODE;
  const narrow = c.op !== "MASKED_EQ" && c.mask === 0xffffffffn;
  switch (c.op) {
    case "MASKED_EQ":
      return [
        loadHigh,
        and(Number(c.mask >> 32n)),
        jump(JEQ, high, "on", "missed"),
        loadLow,
        and(Number(c.mask & 0xffffffffn)),
        jump(JEQ, low, "met", "missed"),
      ];
    case "EQ": {
      const last = [loadLow, jump(JEQ, low, "met", "missed")];
      return narrow ? last : [loadHigh, jump(JEQ, high, "on", "missed"), ...last];
    }
    case "NE": {
      const last = [loadLow, jump(JEQ, low, "missed", "met")];
      return narrow ? last : [loadHigh, jump(JEQ, high, "on", "met"), ...last];
    }
    case "GT":
    case "GE": {
      const last = [loadLow, jump(c.op === "GT" ? JGT : JGE, low, "met", "missed")];
      if (narrow) return last;
      return [loadHigh, jump(JGT, high, "met", "on"), jump(JEQ, high, "on", "missed"), ...last];
    }
    case "LT":
    case "LE": {
      const last = [loadLow, jump(c.op === "LE" ? JGT : JGE, low, "missed", "met")];
      if (narrow) return last;
      return [loadHigh, jump(JGT, high, "missed", "on"), jump(JEQ, high, "on", "met"), ...last];
    }
  }
}
