// What the kernel and this host can do, found out once at start. Reads a few small files; what only
// a trial can tell (overlay's lowerdir+) is tried through the native program where one is given.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { GantryError } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import { cgroupLayout } from "./cgroup/layout.ts";
import type { CgroupLayout, KernelFeatures } from "./contract.ts";
import { parseMountinfo } from "./mountinfo.ts";
import { kernelWarnings } from "./probe-warnings.ts";
import { kernelAtLeast } from "./seccomp/docker-profile.ts";

const LAST_CAPABILITY_DEFAULT = 40;
/** Every root file system and bind is made detached, with its attributes: docs/decisions/0158. */
const OLDEST_KERNEL = "5.12";

export async function probeKernel(native?: Pick<Native, "run">): Promise<KernelFeatures> {
  const machine = process.arch;
  const arch = machine === "x64" ? "x86_64" : machine === "arm64" ? "aarch64" : undefined;
  if (!arch) {
    throw new GantryError("not-implemented", `the processor architecture ${machine} is not known`);
  }
  const version = release();
  if (!kernelAtLeast(version, OLDEST_KERNEL)) {
    throw new GantryError(
      "not-implemented",
      `Gantry needs Linux ${OLDEST_KERNEL} or newer (mount_setattr): this is ${version}`,
    );
  }
  const cgroup = probeCgroups();
  const status = read("/proc/self/status");
  const modules = read("/sys/kernel/security/lsm").trim().split(",");
  const features: KernelFeatures = {
    release: version,
    arch,
    cgroup,
    overlayLowerdirAppend: await probeLowerdirAppend(version, native),
    idmappedOverlay: kernelAtLeast(version, "5.19"),
    timeNamespace: read("/proc/self/timens_offsets") !== "",
    apparmor:
      modules.includes("apparmor") ||
      read("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    ...resctrlMount(),
    selinux: modules.includes("selinux") || read("/sys/fs/selinux/enforce") !== "",
    seccompActions: read("/proc/sys/kernel/seccomp/actions_avail")
      .trim()
      .split(/\s+/)
      .filter(Boolean),
    lastCapability: Number(read("/proc/sys/kernel/cap_last_cap")) || LAST_CAPABILITY_DEFAULT,
    heldCapabilities: BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`),
    warnings: [],
    oomScoreAdj: Number(read("/proc/self/oom_score_adj")) || 0,
    cpus: read("/sys/devices/system/cpu/online").trim() || "0",
    mems: read("/sys/devices/system/node/has_memory").trim() || "0",
    memoryTotalBytes: Number(/^MemTotal:\s*(\d+)/m.exec(read("/proc/meminfo"))?.[1] ?? 0) * 1024,
    cgroupFiles: probeCgroupFiles(cgroup),
    thermalThrottlePaths: thermalThrottlePaths(),
    kcore: existsSync("/proc/kcore"),
  };
  features.warnings.push(...kernelWarnings(features));
  return features;
}

function resctrlMount(): { resctrl?: string } {
  const mount = parseMountinfo(read("/proc/self/mountinfo")).find((m) => m.fstype === "resctrl");
  return mount ? { resctrl: mount.path } : {};
}

function probeCgroups(): CgroupLayout {
  const mounts = parseMountinfo(read("/proc/self/mountinfo"));
  const unified = mounts.find(({ fstype }) => fstype === "cgroup2");
  return cgroupLayout(mounts, unified ? read(`${unified.path}/cgroup.controllers`) : "");
}

/** v1 shows all interface files at the root; v2 only below it, so one's own cgroup is looked at
 * too, and what is not seen there is taken from the list of controllers. */
function probeCgroupFiles(layout: CgroupLayout): ReadonlySet<string> {
  const files = new Set<string>();
  for (const folder of new Set(layout.v1.values()))
    for (const name of list(folder)) files.add(name);
  if (layout.v2) {
    const own = /^0::(.*)$/m.exec(read("/proc/self/cgroup"))?.[1] ?? "/";
    for (const name of list(layout.v2.path + own)) files.add(name);
  }
  return files;
}

function thermalThrottlePaths(): string[] {
  const base = "/sys/devices/system/cpu";
  return list(base)
    .filter((name) => /^cpu\d+$/.test(name))
    .filter((name) => list(`${base}/${name}`).includes("thermal_throttle"))
    .map((name) => `${base}/${name}/thermal_throttle`);
}

async function probeLowerdirAppend(
  version: string,
  native: Pick<Native, "run"> | undefined,
): Promise<boolean> {
  const likely = kernelAtLeast(version, "6.5");
  if (!native || !likely) return likely;
  try {
    // Two folders that always exist, and neither holds the other; the mount ends with the worker.
    const options = ["lowerdir+=/usr", "lowerdir+=/etc"];
    await native.run({ host: [{ op: "fsmount", fstype: "overlay", options, to: 0 }] });
    return true;
  } catch {
    return false;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
