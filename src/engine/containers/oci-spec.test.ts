import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelFeatures } from "../../runtime/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import { maskedPathsDefault, readonlyPathsDefault } from "./host-config.ts";
import { type SpecInput, toExecProcess, toOciSpec } from "./oci-spec.ts";
import type { MountRecord } from "./record.ts";
import { resolveGroups, resolveUser } from "./resolve-user.ts";
import { parseSecurityOptions } from "./security-options.ts";
import { validateHostConfig } from "./validate-host-config.ts";

const MIB = 1024 * 1024;
const files =
  "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.swappiness " +
  "memory.oom_control cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpuset.cpus";
const kernel: KernelFeatures = {
  release: "6.18.0",
  arch: "x86_64",
  cgroup: { version: 1, v1: new Map([["pids", "/cg/pids"]]) },
  overlayLowerdirAppend: true,
  idmappedOverlay: true,
  timeNamespace: true,
  apparmor: false,
  selinux: false,
  seccompActions: ["allow"],
  lastCapability: 40,
  heldCapabilities: (1n << 41n) - 1n,
  warnings: [],
  cpus: "0-1",
  mems: "0",
  cgroupFiles: new Set(files.split(" ")),
};
const accounts = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
  group: "root:x:0:\nweb:x:34:\nlogs:x:40:web,other\nnum:x:50:\n",
};

function spec(host: HostConfig = {}, config: ContainerConfig = {}, more: Partial<SpecInput> = {}) {
  return toOciSpec({
    id: "abc",
    config: { Hostname: "box", ...config },
    hostConfig: {
      NetworkMode: "bridge",
      MaskedPaths: maskedPathsDefault,
      ReadonlyPaths: readonlyPathsDefault,
      CgroupnsMode: "private",
      ...host,
    },
    args: ["/bin/sh"],
    mounts: [],
    files: { hostname: "/c/hostname", hosts: "/c/hosts", resolvConf: "/c/resolv.conf" },
    accounts,
    joined: {},
    kernel,
    cgroupPath: "/gantry/abc",
    ...more,
  });
}

test("the default spec is Docker's", () => {
  const s = spec();
  assert.equal(s.process?.capabilities?.bounding?.length, 14);
  assert.deepEqual(s.process?.env, [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOSTNAME=box",
    "HOME=/root",
  ]);
  assert.equal(s.process?.cwd, "/");
  assert.equal(s.linux?.cgroupsPath, "/gantry/abc");
  assert.deepEqual(
    s.mounts?.map(({ destination }) => destination),
    [
      "/proc",
      "/dev",
      "/dev/pts",
      "/sys",
      "/sys/fs/cgroup",
      "/dev/mqueue",
      "/dev/shm",
      "/etc/resolv.conf",
      "/etc/hostname",
      "/etc/hosts",
    ],
  );
  const types = s.linux?.namespaces?.map(({ type }) => type);
  assert.deepEqual(types, ["mount", "network", "uts", "pid", "ipc", "cgroup"]);
  assert.equal(s.linux?.resources?.devices?.[0]?.allow, false);
  assert.ok(s.linux?.maskedPaths?.includes("/proc/kcore"));
  assert.ok(s.linux?.seccomp);
});

test("privileged opens what Docker opens", () => {
  const s = spec({ Privileged: true, MaskedPaths: null, ReadonlyPaths: null });
  assert.equal(s.process?.capabilities?.bounding?.length, 41);
  assert.equal(s.linux?.seccomp, undefined);
  assert.equal(s.linux?.maskedPaths, undefined);
  assert.deepEqual(s.linux?.resources?.devices, [{ allow: true, access: "rwm" }]);
  const sys = s.mounts?.find(({ destination }) => destination === "/sys");
  assert.equal(sys?.options?.includes("ro"), false);
});

test("environment entries override, and a bare name takes a variable away", () => {
  const s = spec({}, { Tty: true, Env: ["PATH=/x", "HOSTNAME", "A=b=c", "HOME=/h"] });
  assert.deepEqual(s.process?.env, ["PATH=/x", "TERM=xterm", "A=b=c", "HOME=/h"]);
});

test("a user's mount replaces a default one, and parents come before children", () => {
  const mount = (Destination: string, more: Partial<MountRecord> = {}): MountRecord => ({
    Type: "bind",
    Source: "/src",
    Destination,
    Mode: "",
    RW: true,
    Propagation: "",
    ...more,
  });
  const s = spec(
    { Tmpfs: { "/run": "size=1m,exec" } },
    {},
    {
      mounts: [mount("/a/b/c"), mount("/a", { RW: false }), mount("/dev/shm"), mount("/etc/hosts")],
    },
  );
  const paths = s.mounts!.map(({ destination }) => destination);
  assert.equal(paths.filter((path) => path === "/dev/shm").length, 1);
  assert.equal(paths.filter((path) => path === "/etc/hosts").length, 1);
  assert.ok(paths.indexOf("/a") < paths.indexOf("/a/b/c"));
  const at = (path: string) => s.mounts!.find(({ destination }) => destination === path);
  assert.deepEqual(at("/a")?.options, ["rbind", "rprivate", "rro"]);
  assert.deepEqual(at("/run")?.options, [
    "noexec",
    "nosuid",
    "nodev",
    "rprivate",
    "size=1m",
    "exec",
  ]);
});

test("modes decide which namespaces are new, joined or the host's", () => {
  const s = spec(
    { NetworkMode: "container:x", PidMode: "host", UTSMode: "host", IpcMode: "container:x" },
    {},
    { joined: { network: 7, ipc: 7 } },
  );
  assert.deepEqual(s.linux?.namespaces, [
    { type: "mount" },
    { type: "network", path: "/proc/7/ns/net" },
    { type: "ipc", path: "/proc/7/ns/ipc" },
    { type: "cgroup" },
  ]);
  assert.equal(s.hostname, undefined);
  assert.deepEqual(s.linux?.sysctl, {});
  const shm = s.mounts?.find(({ destination }) => destination === "/dev/shm");
  assert.equal(shm?.source, "/proc/7/root/dev/shm");
});

test("limits become resources", () => {
  const { resources } = spec({
    Memory: 64 * MIB,
    MemorySwap: 128 * MIB,
    NanoCpus: 1_500_000_000,
    CpusetCpus: "0",
    PidsLimit: -1,
    DeviceCgroupRules: ["c 42:* rw"],
  }).linux!;
  assert.deepEqual(resources?.memory, { limit: 64 * MIB, swap: 128 * MIB });
  assert.deepEqual(resources?.cpu, { cpus: "0", period: 100_000, quota: 150_000 });
  assert.deepEqual(resources?.pids, { limit: -1 });
  const last = resources?.devices?.at(-1);
  assert.deepEqual(last, { allow: true, type: "c", major: 42, access: "rw" });
  assert.throws(() => spec({ DeviceCgroupRules: ["z 1:1 rw"] }), /invalid device cgroup rule/);
  const missing = [{ PathOnHost: "/dev/nope", PathInContainer: "", CgroupPermissions: "" }];
  assert.throws(() => spec({ Devices: missing }), /error gathering device information/);
});

test("an exec takes over the container's process and changes what it says", () => {
  const process = toExecProcess({
    exec: { Cmd: ["id"], User: "web", Env: ["A=2"], Privileged: true, Tty: true, WorkingDir: "/w" },
    config: { Env: ["A=1", "B=1"], User: "root" },
    hostConfig: {},
    accounts,
    kernel,
    consoleSize: [5, 6],
  });
  assert.deepEqual(process.user, { uid: 33, gid: 34, additionalGids: [34, 40] });
  assert.ok(process.env?.includes("A=2") && process.env.includes("TERM=xterm"));
  assert.equal(process.capabilities?.bounding?.length, 41);
  assert.equal(process.capabilities?.effective, undefined);
  assert.deepEqual(process.consoleSize, { height: 5, width: 6 });
  assert.equal(process.cwd, "/w");
});

test("labels are the process's, also of a privileged exec, and its mounts'", () => {
  const labels = { process: "u:r:t:s0:c1,c2", mount: "u:o:f:s0:c1,c2" };
  const s = spec({}, {}, { labels });
  assert.equal(s.process?.selinuxLabel, labels.process);
  assert.equal(s.linux?.mountLabel, labels.mount);
  const exec = { Cmd: ["id"], Privileged: true };
  const process = toExecProcess({ exec, config: {}, hostConfig: {}, accounts, kernel, labels });
  assert.equal(process.selinuxLabel, labels.process);
  const free = spec({}, {}, { labels: { process: "", mount: "m" } });
  assert.equal(free.process?.selinuxLabel, undefined);
  assert.equal(free.linux?.mountLabel, "m");
  assert.equal(spec().linux?.mountLabel, undefined);
});

test("users are found as docker finds them", () => {
  const find = (user: string) => {
    const { uid, gid, additionalGids, home } = resolveUser(user, accounts);
    return [uid, gid, additionalGids.join(), home];
  };
  assert.deepEqual(find(""), [0, 0, "0", "/root"]);
  assert.deepEqual(find("web"), [33, 34, "34,40", "/srv"]);
  assert.deepEqual(find("33"), [33, 34, "34,40", "/srv"]);
  assert.deepEqual(find("web:logs"), [33, 40, "40", "/srv"]);
  assert.deepEqual(find("1234"), [1234, 0, "0", "/"]);
  assert.deepEqual(find("1234:99"), [1234, 99, "99", "/"]);
  const named = { passwd: "1000:x:0:0::/:\nx:x:7:8::/:\n", group: "1000:x:0:\n" };
  const { uid, gid, additionalGids } = resolveUser("1000:1000", named);
  assert.deepEqual([uid, gid, additionalGids], [1000, 1000, [1000]]);
  assert.deepEqual(resolveGroups(["1000"], named.group), [1000]);
  assert.throws(() => find("99999999999999999999"), /must be in range/);
  assert.throws(() => find("x"), /unable to find user x: no matching entries in passwd file/);
  assert.throws(() => find("web:x"), /unable to find group x: no matching entries in group file/);
  assert.throws(() => find("4294967296"), /uids and gids must be in range 0-2147483647/);
  assert.deepEqual(resolveGroups(["logs", "77"], accounts.group), [40, 77]);
  assert.throws(() => resolveGroups(["nope"], accounts.group), /unable to find group nope/);
});

test("security options are read in both spellings", () => {
  const o = parseSecurityOptions([
    "no-new-privileges:true",
    "label:disable",
    'seccomp={"a":"b=c"}',
  ]);
  assert.equal(o.noNewPrivileges, true);
  assert.equal(o.seccomp, '{"a":"b=c"}');
  assert.equal(parseSecurityOptions(["no-new-privileges=false"]).noNewPrivileges, false);
  assert.throws(() => parseSecurityOptions(["what"]), /invalid --security-opt 1: "what"/);
});

test("impossible limits are refused in docker's words", () => {
  const cases: [HostConfig, RegExp][] = [
    [{ Memory: 1 }, /Minimum memory limit allowed is 6MB$/],
    [{ Memory: 8 * MIB, MemorySwap: 7 * MIB }, /Minimum memoryswap limit should be larger/],
    [{ MemorySwap: 8 * MIB }, /always set the Memory limit when using Memoryswap/],
    [{ MemoryReservation: 1 }, /Minimum memory reservation allowed is 6MB/],
    [{ Memory: 8 * MIB, MemoryReservation: 9 * MIB }, /less than memory reservation/],
    [{ MemorySwappiness: 101 }, /Invalid value: 101, valid memory swappiness range is 0-100/],
    [{ NanoCpus: 3e9 }, /range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available/],
    [{ NanoCpus: 1e9, CpuQuota: 1 }, /Nano CPUs and CPU Quota cannot both be set/],
    [{ CpuPeriod: 10 }, /CPU cfs period can not be less than 1ms/],
    [{ CpuQuota: 10 }, /CPU cfs quota can not be less than 1ms/],
    [{ CpusetCpus: "0-7" }, /Requested CPUs are not available - requested 0-7, available: 0-1/],
    [{ CpusetCpus: "x" }, /Invalid value x for cpuset cpus/],
    [{ CpusetMems: "3" }, /Requested memory nodes are not available/],
    [{ OomScoreAdj: 2000 }, /Invalid value 2000, range for oom score adj is \[-1000, 1000\]/],
    [{ PidMode: "x" }, /invalid PID mode: x/],
    [{ CapAdd: ["NOPE"] }, /invalid CapAdd: unknown capability: "CAP_NOPE"/],
    [{ CpuRealtimeRuntime: 5 }, /real-time scheduler/],
  ];
  for (const [host, pattern] of cases) {
    assert.throws(() => validateHostConfig({ ...host }, kernel), pattern);
  }
});

test("what the kernel cannot do is taken out, with docker's warning", () => {
  const host: HostConfig = {
    BlkioWeight: 500,
    BlkioDeviceReadBps: [{ Path: "/dev/x", Rate: 1 }],
    OomKillDisable: true,
  };
  const warnings = validateHostConfig(host, kernel);
  assert.equal(warnings.length, 3);
  assert.match(
    warnings.join("\n"),
    /Block I\/O weight or the cgroup is not mounted. Weight discard/,
  );
  assert.match(warnings.join("\n"), /OOM killer is disabled for the container/);
  assert.equal(host.BlkioWeight, undefined);
  const without = { ...kernel, cgroupFiles: new Set(["memory.limit_in_bytes"]) };
  const limited: HostConfig = { Memory: 8 * MIB };
  assert.match(validateHostConfig(limited, without)[0]!, /Memory limited without swap/);
  assert.equal(limited.MemorySwap, -1);
});
