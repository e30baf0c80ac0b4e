// A further process in a running container. The executor enters the container's cgroups while it
// still sees the host, then all namespaces with one setns on the pidfd of init, and only then
// clones: the new process is born inside, so nothing of the host (root, descriptors, memory) can
// be reached through it, not even by a process of the container with CAP_SYS_PTRACE
// (CVE-2016-9962); it is non-dumpable until execve. Its working folder is checked to be inside the
// root (CVE-2024-21626).

import { GantryError } from "../base/index.ts";
import type { Operation, Plan } from "../native/index.ts";
import type { OciProcess, OciSeccomp } from "../spec/index.ts";
import type { KernelFeatures } from "./contract.ts";
import { CLONE, PR } from "./kernel-numbers.ts";
import { cpuMask } from "./number-list.ts";
import { canSetOomScore } from "./oom-score.ts";
import { PlanBuilder, SLOT, write } from "./plan-builder.ts";
import {
  planCredentials,
  planLabels,
  planLimits,
  planTask,
  type TaskSettings,
} from "./plan-credentials.ts";
import { planDevNull } from "./plan-devices.ts";
import type { OciState } from "./plan-hooks.ts";
import { planRdtExec, type RdtPlace } from "./plan-rdt.ts";
import { planExecStreams, planPipes, planTerminal } from "./plan-streams.ts";
import { planSeccompAgent } from "./seccomp/agent.ts";
import { compileSeccomp } from "./seccomp/compile.ts";

export interface ExecInput {
  execId: string;
  /** Init of the container, whose namespaces are joined; the caller has checked its start time. */
  pid: number;
  /** Its start time: nothing is joined where the pid has become another's. */
  startTicks?: bigint;
  process: OciProcess;
  kernel: KernelFeatures;
  cgroupPaths: Readonly<Record<string, string>>;
  /** Of the container's spec; absent for an unconfined or privileged one. */
  seccomp?: OciSeccomp;
  /** Of the container; its seccomp agent is told of it. */
  state?: OciState;
  /** The class of service that the container is in. */
  rdt?: RdtPlace;
  /** The container's linux.*. */
  linux?: TaskSettings;
  /** Namespaces that init does not share with us; default all that Docker makes. */
  userNamespace?: boolean;
  timeNamespace?: boolean;
  terminal: boolean;
  openStdin: boolean;
  /** Uid of the process in the host's numbers; default process.user.uid. */
  hostUid?: number;
  /** Without a monitor: the standard streams are those of whoever runs the plan. */
  standalone?: { preserveFds: number; keepKeyring?: boolean };
}

const JOINED =
  CLONE.NEWNS | CLONE.NEWUTS | CLONE.NEWIPC | CLONE.NEWNET | CLONE.NEWPID | CLONE.NEWCGROUP;

export function planExec(input: ExecInput): Plan {
  const { process, kernel, terminal, openStdin } = input;
  if (!process.args?.length) throw new GantryError("invalid", "No exec command specified");
  const builder = new PlanBuilder();
  const { host, container } = builder;
  // While the host's paths can be seen, and before it would count among the container's.
  host.push(...planExecAgent(input));
  host.push(...planRdtExec(input.rdt));
  const affinity = process.execCPUAffinity;
  if (affinity?.initial) host.push({ op: "affinity", mask: cpuMask(affinity.initial) });
  host.push({ op: "prctl", option: PR.SET_DUMPABLE, arg2: 0 });
  if (input.standalone) {
    if (!terminal) host.push({ op: "ownStreams", uid: input.hostUid ?? process.user.uid });
  } else if (!terminal) {
    if (!openStdin) host.push(...planDevNull());
    host.push(...planPipes(openStdin, input.hostUid ?? process.user.uid));
  }
  const { pid, startTicks } = input;
  host.push({ op: "pidfdOpen", pid, to: SLOT.self, ...(startTicks && { startTicks }) });
  host.push(...planEnterCgroups(input));
  if (affinity?.final) host.push({ op: "affinity", mask: cpuMask(affinity.final) });
  const score = process.oomScoreAdj;
  if (
    score !== undefined &&
    canSetOomScore(kernel, score, { explicit: input.standalone !== undefined })
  ) {
    host.push(write("/proc/self/oom_score_adj", score));
  }
  const flags =
    JOINED | (input.userNamespace ? CLONE.NEWUSER : 0) | (input.timeNamespace ? CLONE.NEWTIME : 0);
  host.push(
    ...planLabels(process, kernel),
    { op: "setns", slot: SLOT.self, flags },
    { op: "close", slot: SLOT.self },
    { op: "clone", flags: 0, pid: SLOT.pid },
  );
  container.push({ op: "setsid" }, ...userNamespaceRoot(input));
  container.push(
    ...(terminal
      ? planTerminal(process, { console: false })
      : input.standalone
        ? []
        : planExecStreams(openStdin ? SLOT.stdinRead : SLOT.devNull)),
    ...planTask(input.linux),
    ...planLimits(process),
    ...planCredentials({
      process,
      kernel,
      userNamespace: input.userNamespace === true,
      ...(input.standalone?.keepKeyring ? {} : { id: input.execId }),
      ...(input.standalone && { preserveFds: input.standalone.preserveFds }),
      ...compileSeccomp(input.seccomp, kernel),
    }),
  );
  return builder.plan();
}

function planExecAgent({ seccomp, state, execId, pid }: ExecInput): Operation[] {
  const unknown = { ociVersion: "1.3.0", id: execId, status: "running" as const, pid, bundle: "" };
  return planSeccompAgent(seccomp, { state: state ?? unknown });
}

/** A container that has handed its v2 controllers on has no processes but in cgroups beneath. */
function planEnterCgroups({ cgroupPaths, kernel, pid }: ExecInput): Operation[] {
  const { "": unified, ...others } = cgroupPaths;
  const enter = [...new Set(Object.values(others))].map((p) => write(`${p}/cgroup.procs`, "0"));
  const mount = kernel.cgroup.v2?.path;
  if (unified === undefined || mount === undefined) return enter;
  return [...enter, { op: "joinCgroup", mount, path: unified, pid }];
}

/** Whoever enters a user namespace keeps its outer ids until it takes the inner ones. */
function userNamespaceRoot({ userNamespace }: ExecInput): Operation[] {
  return userNamespace
    ? [
        { op: "setgid", gid: 0 },
        { op: "setuid", uid: 0 },
      ]
    : [];
}
