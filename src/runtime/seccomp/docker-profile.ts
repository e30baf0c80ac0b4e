// Docker's seccomp profiles: the default one, as the facts that moby's default.json states (which
// system calls, under which capability, architecture or kernel), and custom ones in the same JSON
// form. Conditions are resolved here, for one container's capabilities; what is left is OCI.

import { GantryError, parseExactJson } from "../../base/index.ts";
import type { OciSeccomp, OciSeccompArg, OciSeccompRule } from "../../spec/index.ts";
import type { KernelFeatures } from "../contract.ts";
import { ALWAYS_ALLOWED, WITH_CAPABILITY } from "./docker-syscalls.ts";

interface Filter {
  caps?: string[] | null;
  arches?: string[] | null;
  minKernel?: string | null;
}
export interface DockerSeccompRule {
  name?: string;
  names?: string[] | null;
  action: string;
  errnoRet?: number;
  args?: OciSeccompArg[] | null;
  includes?: Filter | null;
  excludes?: Filter | null;
}
/** The JSON that `--security-opt seccomp=FILE` carries. */
export interface DockerSeccompProfile {
  defaultAction?: string;
  defaultErrnoRet?: number;
  architectures?: string[] | null;
  archMap?: { architecture: string; subArchitectures?: string[] | null }[] | null;
  flags?: string[] | null;
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: DockerSeccompRule[] | null;
}

type Kernel = Pick<KernelFeatures, "arch" | "release">;

const ALLOW = "SCMP_ACT_ALLOW";
/** Kernel crypto (CVE-2026-31431; Docker since 29.4.2), AFS (CVE-2026-43500), the hypervisor. */
const FORBIDDEN_FAMILIES = [33, 38, 40];
const ENOSYS = 38;
/** CLONE_NEW* of namespaces that a process without CAP_SYS_ADMIN must not make. */
const CLONE_NAMESPACES = 0x7e020000;
/** PER_LINUX, PER_LINUX32, UNAME26 with each, and the question for the value in force. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

const words = (text: string) => text.trim().split(/\s+/);
const allow = (names: string, more: Partial<DockerSeccompRule> = {}): DockerSeccompRule => ({
  names: words(names),
  action: ALLOW,
  ...more,
});

const defaultProfile: DockerSeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: 1,
  archMap: [
    {
      architecture: "SCMP_ARCH_X86_64",
      subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    },
    { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
  ],
  syscalls: [
    allow(ALWAYS_ALLOWED),
    allow("process_vm_readv process_vm_writev ptrace", { includes: { minKernel: "4.8" } }),
    ...allowedFamilies().map((args) => allow("socket", { args })),
    ...PERSONALITIES.map((value) =>
      allow("personality", { args: [{ index: 0, value, op: "SCMP_CMP_EQ" }] }),
    ),
    allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", {
      includes: { arches: ["arm", "arm64"] },
    }),
    allow("arch_prctl", { includes: { arches: ["amd64", "x32"] } }),
    allow("modify_ldt", { includes: { arches: ["amd64", "x32", "x86"] } }),
    ...Object.entries(WITH_CAPABILITY).map(([name, calls]) =>
      allow(calls, { includes: { caps: [name] } }),
    ),
    allow("clone", {
      args: [{ index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      excludes: { caps: ["CAP_SYS_ADMIN"] },
    }),
    // Its flags are behind a pointer, where no filter can look: libc falls back to clone.
    {
      names: ["clone3"],
      action: "SCMP_ACT_ERRNO",
      errnoRet: ENOSYS,
      excludes: { caps: ["CAP_SYS_ADMIN"] },
    },
  ],
};

/** Address families as the gaps between the forbidden ones: one rule cannot say "none of these",
 * because what it asks of one argument twice is an alternative. */
function allowedFamilies(): OciSeccompArg[][] {
  const below = FORBIDDEN_FAMILIES[0]!;
  const above = FORBIDDEN_FAMILIES.at(-1)!;
  const between = [];
  for (let family = below + 1; family < above; family++) {
    if (!FORBIDDEN_FAMILIES.includes(family)) between.push(family);
  }
  return [
    [{ index: 0, value: below, op: "SCMP_CMP_LT" }],
    ...between.map((value): OciSeccompArg[] => [{ index: 0, value, op: "SCMP_CMP_EQ" }]),
    [{ index: 0, value: above, op: "SCMP_CMP_GT" }],
  ];
}

const CACHED_MAX = 64;
const resolved = new Map<string, OciSeccomp>();

/** Docker's default profile for a container with these capabilities in its bounding set. */
export function defaultSeccomp(capabilities: readonly string[], kernel: Kernel): OciSeccomp {
  const key = `${kernel.arch} ${kernel.release} ${[...capabilities].sort().join(" ")}`;
  const profile = resolved.get(key) ?? resolveProfile(defaultProfile, capabilities, kernel)!;
  resolved.set(key, profile);
  if (resolved.size > CACHED_MAX) resolved.delete(resolved.keys().next().value!);
  return profile;
}

/** A profile from JSON text. Undefined when it says nothing, which is Docker's "no filter". */
export function parseSeccomp(
  text: string,
  capabilities: readonly string[],
  kernel: Kernel,
): OciSeccomp | undefined {
  let profile: DockerSeccompProfile;
  try {
    profile = parseExactJson(text) as DockerSeccompProfile;
  } catch (cause) {
    const why = (cause as Error).message;
    throw new GantryError("invalid", `Decoding seccomp profile failed: ${why}`, { cause });
  }
  if (typeof profile !== "object" || profile === null || Array.isArray(profile)) {
    throw new GantryError("invalid", "Decoding seccomp profile failed: not a JSON object");
  }
  return resolveProfile(profile, capabilities, kernel);
}

const GO_ARCH = { x86_64: "amd64", aarch64: "arm64" } as const;
const NATIVE = { x86_64: "SCMP_ARCH_X86_64", aarch64: "SCMP_ARCH_AARCH64" } as const;

function resolveProfile(
  profile: DockerSeccompProfile,
  capabilities: readonly string[],
  kernel: Kernel,
): OciSeccomp | undefined {
  const rules = profile.syscalls ?? [];
  if (!profile.defaultAction && rules.length === 0) return undefined;
  if (profile.architectures?.length && profile.archMap?.length) {
    throw new GantryError(
      "invalid",
      "both 'architectures' and 'archMap' are specified in the seccomp profile, " +
        "use either 'architectures' or 'archMap'",
    );
  }
  const mapped = profile.archMap?.find((a) => a.architecture === NATIVE[kernel.arch]);
  const architectures = mapped
    ? [mapped.architecture, ...(mapped.subArchitectures ?? [])]
    : profile.architectures;
  const { defaultErrnoRet, flags, listenerPath, listenerMetadata } = profile;
  return {
    defaultAction: profile.defaultAction ?? "",
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    ...(architectures && { architectures }),
    ...(flags && { flags }),
    ...(listenerPath && { listenerPath }),
    ...(listenerMetadata && { listenerMetadata }),
    syscalls: rules.filter((rule) => applies(rule, capabilities, kernel)).map(toOciRule),
  };
}

function toOciRule(rule: DockerSeccompRule): OciSeccompRule {
  if (rule.name && rule.names?.length) {
    throw new GantryError(
      "invalid",
      "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
    );
  }
  return {
    names: rule.name ? [rule.name] : (rule.names ?? []),
    action: rule.action,
    ...(rule.errnoRet !== undefined && { errnoRet: rule.errnoRet }),
    ...(rule.args?.length && { args: rule.args }),
  };
}

function applies(
  { includes, excludes }: DockerSeccompRule,
  capabilities: readonly string[],
  kernel: Kernel,
): boolean {
  const arch = GO_ARCH[kernel.arch];
  const has = (name: string) => capabilities.includes(name);
  if (excludes?.arches?.includes(arch)) return false;
  if (excludes?.caps?.some(has)) return false;
  if (excludes?.minKernel && kernelAtLeast(kernel.release, excludes.minKernel)) return false;
  if (includes?.arches?.length && !includes.arches.includes(arch)) return false;
  if (includes?.caps?.length && !includes.caps.every(has)) return false;
  if (includes?.minKernel && !kernelAtLeast(kernel.release, includes.minKernel)) return false;
  return true;
}

/** "6.18.44-fc" ≥ "4.8". Throws invalid when the wanted version is not "major.minor". */
export function kernelAtLeast(release: string, wanted: string): boolean {
  const parse = (text: string) => /^(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number);
  const [major, minor] = parse(release) ?? [0, 0];
  const want = /^\d+\.\d+$/.test(wanted) ? parse(wanted) : undefined;
  if (!want) throw new GantryError("invalid", `invalid kernel version: ${JSON.stringify(wanted)}`);
  return major! > want[0]! || (major === want[0] && minor! >= want[1]!);
}
