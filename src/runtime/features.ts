// What `features` of an OCI runtime tells (runtime-spec features.md): what may stand in a
// configuration, and of that what this kernel really has. Pure.

import { capabilityNames } from "./capabilities.ts";
import type { KernelFeatures } from "./contract.ts";
import { memoryPolicyFlags, memoryPolicyModes } from "./memory-policy.ts";
import { mountOptionNames } from "./mount-options.ts";
import { NAMESPACE_FLAGS } from "./namespaces.ts";
import { architectureNames } from "./seccomp/architectures.ts";
import { seccompFlags } from "./seccomp/compile.ts";
import { kernelAtLeast } from "./seccomp/docker-profile.ts";
import { seccompActionNames, seccompOperators } from "./seccomp/rules.ts";

const HOOKS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
];

/** The members of features.md that the planners answer for. */
export function runtimeFeatures(kernel: KernelFeatures) {
  const { cgroup, arch, release } = kernel;
  const hasRdma = cgroup.v1.has("rdma") || (cgroup.v2?.controllers.includes("rdma") ?? false);
  return {
    hooks: HOOKS,
    mountOptions: mountOptionNames(),
    linux: {
      namespaces: Object.keys(NAMESPACE_FLAGS)
        .filter((name) => name !== "time" || kernel.timeNamespace)
        .sort(),
      capabilities: capabilityNames.slice(0, kernel.lastCapability + 1),
      cgroup: {
        v1: cgroup.v1.size > 0,
        v2: cgroup.v2 !== undefined,
        // As gantry-runtime --systemd-cgroup has it (src/oci/systemd-scope.ts).
        systemd: cgroup.v1.size === 0 && cgroup.v2 !== undefined,
        systemdUser: false,
        rdma: hasRdma,
      },
      seccomp: seccomp(kernel),
      apparmor: { enabled: kernel.apparmor },
      selinux: { enabled: kernel.selinux },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: {
        modes: Object.keys(memoryPolicyModes).filter(
          (mode) => mode !== "MPOL_WEIGHTED_INTERLEAVE" || kernelAtLeast(release, "6.9"),
        ),
        flags: Object.keys(memoryPolicyFlags),
      },
      mountExtensions: { idmap: { enabled: kernelAtLeast(release, "5.12") } },
      netDevices: { enabled: arch !== undefined },
    },
  };
}

/** Which name of the kernel's list (actions_avail) an action needs. */
const KERNEL_ACTIONS: Readonly<Record<string, string>> = {
  SCMP_ACT_KILL: "kill_thread",
  SCMP_ACT_KILL_THREAD: "kill_thread",
  SCMP_ACT_KILL_PROCESS: "kill_process",
  SCMP_ACT_TRAP: "trap",
  SCMP_ACT_ERRNO: "errno",
  SCMP_ACT_TRACE: "trace",
  SCMP_ACT_NOTIFY: "user_notif",
  SCMP_ACT_LOG: "log",
  SCMP_ACT_ALLOW: "allow",
};

function seccomp({ seccompActions, release }: KernelFeatures) {
  const enabled = seccompActions.length > 0;
  const flags = Object.keys(seccompFlags);
  const isSupported = (flag: string) =>
    flag !== "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" || kernelAtLeast(release, "5.19");
  return {
    enabled,
    actions: seccompActionNames
      .filter((name) => seccompActions.includes(KERNEL_ACTIONS[name] ?? ""))
      .toSorted(),
    operators: seccompOperators.map((name) => `SCMP_CMP_${name}`).toSorted(),
    archs: [...architectureNames].sort(),
    knownFlags: flags,
    supportedFlags: enabled ? flags.filter(isSupported) : [],
  };
}
