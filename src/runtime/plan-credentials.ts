// The last steps before execve, the same for a container's init and for an exec: limits, groups,
// user, capabilities, seccomp. The order is forced: what needs privilege comes before the drop of
// it; the bounding set before setuid; the filter last, or, without no_new_privs, at the last
// moment at which CAP_SYS_ADMIN is still effective.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciLinux, OciProcess, OciSpec } from "../spec/index.ts";
import { capabilityWarnings, fullMask, grantable } from "./capabilities.ts";
import type { KernelFeatures } from "./contract.ts";
import { checkId } from "./id-maps.ts";
import { PR, RLIMITS } from "./kernel-numbers.ts";
import { planMemoryPolicy } from "./memory-policy.ts";
import { planPersonality } from "./personality.ts";
import { planIoPriority, planScheduler } from "./plan-scheduler.ts";
import type { CompiledSeccomp } from "./seccomp/compile.ts";

export interface CredentialInput {
  process: OciProcess;
  kernel: KernelFeatures;
  userNamespace: boolean;
  /** Compiled filter, or undefined for none. */
  seccomp?: CompiledSeccomp;
  /** Names the session keyring; absent: the caller's is kept. */
  id?: string;
  /** Descriptors from 3 on that the program inherits. */
  preserveFds?: number;
  /** What stands right before the filter: from then on the process may be unable to do anything. */
  pause?: readonly Operation[];
}

const UMASK_DEFAULT = 0o022;
const INFINITY_FROM = 2 ** 63;

/** What every process of a container gets from linux.*, an exec as well as init. */
export type TaskSettings = Pick<OciLinux, "personality" | "memoryPolicy">;

export function planTask(linux: TaskSettings = {}): Operation[] {
  return [...planPersonality(linux.personality), ...planMemoryPolicy(linux.memoryPolicy)];
}

/** Rlimits, scheduling, keyring: everything before the change of user. */
export function planLimits(process: OciProcess): Operation[] {
  const operations: Operation[] = [];
  const seen = new Set<string>();
  for (const { type, soft, hard } of process.rlimits ?? []) {
    const name = type.startsWith("RLIMIT_") ? type.slice("RLIMIT_".length) : "";
    const resource = Object.hasOwn(RLIMITS, name) ? RLIMITS[name] : undefined;
    if (resource === undefined) {
      throw new GantryError("invalid", `rlimit type ${JSON.stringify(type)} is not valid`);
    }
    if (seen.has(type)) throw new GantryError("invalid", `rlimit ${type} is given twice`);
    seen.add(type);
    operations.push({ op: "rlimit", resource, soft: limit(soft), hard: limit(hard) });
  }
  operations.push(...planScheduler(process.scheduler), ...planIoPriority(process.ioPriority));
  return operations;
}

/** RLIM_INFINITY is all ones: −1 in the plan's signed numbers. JSON cannot hold it exactly. */
function limit(value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new GantryError("invalid", `rlimit ${value} is not a whole number`);
  }
  return value < 0 || value >= INFINITY_FROM ? -1n : BigInt(value);
}

/** In a namespace of its own the first process has them all; else none that we do not hold. */
function heldBy(kernel: KernelFeatures, userNamespace: boolean): bigint {
  const possible = fullMask(kernel.lastCapability);
  return userNamespace ? possible : kernel.heldCapabilities & possible;
}

/** What of a process cannot be given and is no reason to fail: to be told to the user. */
export function processWarnings(
  process: OciProcess,
  { linux }: OciSpec,
  kernel: KernelFeatures,
): string[] {
  const userNamespace = linux?.namespaces?.some(({ type }) => type === "user") ?? false;
  return capabilityWarnings(process, heldBy(kernel, userNamespace));
}

/** The same of a whole configuration. */
export function configWarnings(spec: OciSpec, kernel: KernelFeatures): string[] {
  const warnings = spec.process ? processWarnings(spec.process, spec, kernel) : [];
  if (spec.linux?.resources?.memory?.kernel !== undefined) {
    warnings.push(
      "linux.resources.memory.kernel is ignored: no kernel since 5.16 has such a limit",
    );
  }
  return warnings;
}

export function planCredentials(input: CredentialInput): Operation[] {
  const { process, kernel, userNamespace, seccomp, id, preserveFds = 0 } = input;
  const pause = input.pause ?? [];
  const { user } = process;
  checkUser(user);
  const held = heldBy(kernel, userNamespace);
  const wanted = (names: string[] | undefined) => grantable(names, held);
  const caps = process.capabilities;
  const permitted = wanted(caps?.permitted);
  const inheritable = wanted(caps?.inheritable);
  const ambient = wanted(caps?.ambient) & permitted & inheritable;
  const filter: Operation[] = seccomp ? [{ op: "seccomp", ...seccomp }] : [];
  const noNewPrivileges = process.noNewPrivileges === true;

  const operations: Operation[] = [
    ...(id === undefined ? [] : [{ op: "keyring" as const, name: `_ses.${id}` }]),
    { op: "umask", mode: user.umask ?? UMASK_DEFAULT },
    { op: "closeFrom", fd: 3 + preserveFds },
    { op: "capBounding", keep: wanted(caps?.bounding) },
    { op: "prctl", option: PR.SET_KEEPCAPS, arg2: 1 },
    { op: "setgroups", gids: user.additionalGids ?? [] },
    { op: "setgid", gid: user.gid },
    { op: "setuid", uid: user.uid },
    { op: "prctl", option: PR.SET_KEEPCAPS, arg2: 0 },
  ];
  // The change of user has emptied the effective set.
  if (user.uid !== 0) {
    operations.push({ op: "capset", effective: held, permitted: held, inheritable: 0 });
  }
  // As the user (a root-squashing NFS export), yet with root's capabilities (a 0700 folder).
  operations.push({ op: "chdir", path: process.cwd });
  if (noNewPrivileges) operations.push({ op: "prctl", option: PR.SET_NO_NEW_PRIVS, arg2: 1 });
  else operations.push(...pause, ...filter);
  operations.push({
    op: "capset",
    effective: wanted(caps?.effective) & permitted,
    permitted,
    inheritable,
  });
  if (ambient !== 0n) operations.push({ op: "capAmbient", raise: ambient });
  if (noNewPrivileges) operations.push(...pause, ...filter);
  operations.push({ op: "execve", argv: process.args ?? [], env: process.env ?? [] });
  return operations;
}

function checkUser({ uid, gid, additionalGids = [] }: OciProcess["user"]): void {
  checkId(uid, "process.user.uid");
  checkId(gid, "process.user.gid");
  for (const id of additionalGids) checkId(id, "process.user.additionalGids");
}

/** The exec attributes of security modules; they take effect at the next execve. */
export function planLabels(process: OciProcess, kernel: KernelFeatures): Operation[] {
  const operations: Operation[] = [];
  const encode = (value: string) => new TextEncoder().encode(value);
  if (process.apparmorProfile) {
    if (!kernel.apparmor) {
      throw new GantryError("invalid", "apparmor is not enabled on this host");
    }
    const data = encode(`exec ${process.apparmorProfile}`);
    operations.push({ op: "write", path: "/proc/thread-self/attr/apparmor/exec", data });
  }
  if (process.selinuxLabel) {
    if (!kernel.selinux) throw new GantryError("invalid", "selinux is not enabled on this host");
    const data = encode(process.selinuxLabel);
    operations.push({ op: "write", path: "/proc/thread-self/attr/exec", data });
  }
  return operations;
}
