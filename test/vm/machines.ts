// The machines of `npm run test:vm`: a kernel, how it is booted, and which tests run in it. Each
// one proves what the others cannot; docs/internals/virtual-machines.md says what.

export interface Machine {
  /** What --kernel may call it, too. */
  name?: string;
  /** A suite of Debian, or the name of a kernel's package. */
  kernel: string;
  /** Of another processor: with a Debian of its own (arm64.ts). */
  arch?: "arm64";
  /** "16k": its pages. */
  flavour?: string;
  parameters: string[];
  files: string[];
  /** The tests run beneath systemd. */
  systemd?: true;
  /** There is a compiled SELinux policy, which a test loads. */
  policy?: true;
}

/** What every kernel has to pass, or to be refused by. */
const PROBE = "test/vm/guest/probe.test.ts";
const SHORT = [PROBE, "test/vm/guest/containers.test.ts"];
const APPARMOR = ["apparmor=1", "security=apparmor"];
const SELINUX = ["apparmor=0", "selinux=1", "security=selinux", "enforcing=1"];

/** What looks at a number of the kernel's, a structure or a name of the processor. */
const PLATFORM = [
  "test/vm/arm64/*.test.ts",
  "test/integration/native-{plans,create,monitor,program}.test.ts",
  "test/integration/runtime-{defaults,options,more-options}.test.ts",
];
const ARM64 = [
  ...PLATFORM,
  "src/runtime/seccomp/compile.test.ts",
  "test/integration/logs-monitor.test.ts",
  "test/integration/storage-layers.test.ts",
  "test/integration/oci-exec.test.ts",
];

export const MACHINES: readonly Machine[] = [
  {
    kernel: "bookworm",
    parameters: APPARMOR,
    files: [
      "test/vm/guest/*.test.ts",
      "test/e2e/isolation.test.ts",
      "test/integration/oci-update.test.ts",
      "test/integration/network-bridge.test.ts", // connections are forgotten otherwise before 6.10
      "test/integration/userns-roots.test.ts",
      "test/e2e/userns-auto.test.ts",
    ],
  },
  { kernel: "trixie", parameters: SELINUX, files: SHORT },
  { kernel: "bullseye", parameters: [], files: [PROBE] },
  {
    name: "systemd",
    kernel: "bookworm",
    parameters: [],
    files: ["test/vm/systemd/*.test.ts"],
    systemd: true,
  },
  { name: "arm64", kernel: "bookworm", arch: "arm64", parameters: [], files: ARM64 },
  {
    name: "arm64-16k",
    kernel: "trixie",
    arch: "arm64",
    flavour: "16k",
    parameters: [],
    files: [PROBE, ...PLATFORM],
  },
  {
    name: "selinux",
    kernel: "trixie",
    parameters: SELINUX,
    files: ["test/vm/selinux/*.test.ts"],
    policy: true,
  },
];

/** A kernel that no machine has: the short list, or what is named. */
export function machineFor(kernel: string): Machine {
  const known =
    MACHINES.find(({ name }) => name === kernel) ?? MACHINES.find((one) => one.kernel === kernel);
  return known ?? { kernel, parameters: APPARMOR, files: SHORT };
}
