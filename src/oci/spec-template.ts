// spec: a config.json to begin with, the one that runc writes.

import { open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { errnoOf, GantryError } from "../base/index.ts";
import type { OciMount, OciSpec } from "../spec/index.ts";
import type { CommandContext } from "./command.ts";
import { wording } from "./log.ts";
import { SPEC_VERSION } from "./version.ts";

const FILE = "config.json";
const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
const QUIET = ["nosuid", "noexec", "nodev"];

/** Commit point: the file is there. One that is there already is left alone. */
export async function writeSpec(
  { caller, kernel }: CommandContext,
  { bundle, rootless }: { bundle: string; rootless: boolean },
): Promise<void> {
  const folder = resolve(caller.io.cwd, bundle);
  const spec = template({ cgroupNamespace: kernel.cgroup.version === 2 });
  if (rootless) makeRootless(spec, { uid: process.geteuid!(), gid: process.getegid!() });
  const file = await open(join(folder, FILE), "wx", 0o666).catch((cause: unknown) => {
    const message =
      errnoOf(cause) === "EEXIST"
        ? `File ${FILE} exists. Remove it first`
        : `open ${join(folder, FILE)}: ${wording(cause)}`;
    throw new GantryError("conflict", message, { cause });
  });
  try {
    await file.writeFile(JSON.stringify(spec, undefined, "\t"));
  } finally {
    await file.close();
  }
}

function template({ cgroupNamespace }: { cgroupNamespace: boolean }): OciSpec {
  const namespaces = ["pid", "network", "ipc", "uts", "mount"];
  return {
    ociVersion: SPEC_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: {
        bounding: CAPABILITIES,
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
      },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "gantry",
    mounts: mounts(),
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [...namespaces, ...(cgroupNamespace ? ["cgroup"] : [])].map((type) => ({ type })),
      maskedPaths: [
        ...["acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "timer_list"],
        ...["timer_stats", "sched_debug", "scsi"],
      ]
        .map((name) => `/proc/${name}`)
        .concat("/sys/firmware", "/sys/devices/virtual/powercap"),
      readonlyPaths: ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`),
    },
  };
}

function mounts(): OciMount[] {
  const mount = (destination: string, type: string, source: string, options?: string[]) => ({
    ...{ destination, type, source },
    ...(options && { options }),
  });
  return [
    mount("/proc", "proc", "proc"),
    mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount("/dev/pts", "devpts", "devpts", [
      ...["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ]),
    mount("/dev/shm", "tmpfs", "shm", [...QUIET, "mode=1777", "size=65536k"]),
    mount("/dev/mqueue", "mqueue", "mqueue", QUIET),
    mount("/sys", "sysfs", "sysfs", [...QUIET, "ro"]),
    mount("/sys/fs/cgroup", "cgroup", "cgroup", [...QUIET, "relatime", "ro"]),
  ];
}

/** For a user without privileges: a user namespace with that user as its root, no network of its
 * own, no limits. */
function makeRootless(spec: OciSpec, { uid, gid }: { uid: number; gid: number }): void {
  const linux = spec.linux!;
  linux.namespaces = [
    ...(linux.namespaces ?? []).filter(({ type }) => type !== "network"),
    { type: "user" },
  ];
  linux.uidMappings = [{ containerID: 0, hostID: uid, size: 1 }];
  linux.gidMappings = [{ containerID: 0, hostID: gid, size: 1 }];
  delete linux.resources;
  const isKept = ({ destination }: OciMount) => !/^\/sys(\/|$)/.test(destination);
  spec.mounts = (spec.mounts ?? []).filter(isKept).map((mount) => ({
    ...mount,
    ...(mount.options && { options: mount.options.filter((o) => !/^[ug]id=/.test(o)) }),
  }));
  const options = ["rbind", ...QUIET, "ro"];
  spec.mounts.push({ destination: "/sys", type: "none", source: "/sys", options });
}
