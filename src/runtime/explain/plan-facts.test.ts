import assert from "node:assert/strict";
import { test } from "node:test";
import type { OciSpec } from "../../spec/index.ts";
import type { KernelFeatures } from "../contract.ts";
import { planCreate } from "../plan-create.ts";
import { operationFacts } from "./describe-operation.ts";
import { planFacts } from "./plan-facts.ts";

const kernel: KernelFeatures = {
  release: "6.18.0",
  arch: "x86_64",
  cgroup: {
    version: "hybrid",
    v1: new Map([
      ["memory", "/cg/memory"],
      ["pids", "/cg/pids"],
      ["devices", "/cg/devices"],
    ]),
    v2: { path: "/cg/unified", controllers: [] },
  },
  overlayLowerdirAppend: true,
  idmappedOverlay: true,
  timeNamespace: true,
  apparmor: false,
  selinux: false,
  seccompActions: ["allow", "errno"],
  lastCapability: 40,
  heldCapabilities: (1n << 41n) - 1n,
  warnings: [],
};

const everything: OciSpec = {
  ociVersion: "1.2.0",
  process: {
    user: { uid: 7, gid: 8, additionalGids: [9], umask: 0o27 },
    args: ["/init", "a b"],
    env: ["SECRET=1", "PATH=/bin"],
    cwd: "/work",
    terminal: false,
    noNewPrivileges: true,
    oomScoreAdj: 100,
    capabilities: { bounding: ["CAP_CHOWN", "CAP_KILL"], effective: [], permitted: [] },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 10, hard: -1 }],
  },
  root: { path: "rootfs", readonly: true },
  hostname: "box",
  mounts: [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=64k", "ro"] },
    {
      destination: "/data",
      type: "bind",
      source: "/host/data",
      options: ["rbind", "ro", "rslave"],
    },
  ],
  linux: {
    namespaces: [
      { type: "mount" },
      { type: "pid" },
      { type: "uts" },
      { type: "ipc" },
      { type: "cgroup" },
      { type: "network", path: "/proc/7/ns/net" },
    ],
    cgroupsPath: "/gantry/c1",
    resources: { memory: { limit: 1 << 26 }, pids: { limit: 5 }, devices: [] },
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    sysctl: { "kernel.shmmax": "9" },
    seccomp: { defaultAction: "SCMP_ACT_ERRNO", syscalls: [] },
  },
};

function planOf(spec: OciSpec) {
  return planCreate({
    id: "c1",
    spec,
    kernel,
    rootfs: { kind: "overlay", lowerDirs: ["/l/2", "/l/1"], upperDir: "/u", workDir: "/w" },
    monitor: {
      id: "c1",
      socketPath: "/s",
      exitPath: "/e",
      terminal: false,
      stdinOnce: false,
      openStdin: false,
      holdMs: 0,
    },
  });
}

test("every kind of thing that a plan does is read back from its operations", () => {
  const facts = planFacts(planOf(everything));
  const { namespaces, limits, mounts, root, process } = facts;
  const is = Object.fromEntries(namespaces.map((one) => [one.type, `${one.is} ${one.by ?? ""}`]));
  assert.deepEqual(is, {
    pid: "new clone3",
    network: "joined setns",
    ipc: "new clone3",
    uts: "new clone3",
    mount: "new clone3",
    user: "host ",
    cgroup: "new unshare",
    time: "host ",
  });
  assert.equal(namespaces.find(({ type }) => type === "network")?.path, "/proc/7/ns/net");
  assert.deepEqual(
    limits.map(({ file, value }) => `${file}=${value}`),
    ["memory.limit_in_bytes=67108864", "pids.max=5"],
  );
  assert.deepEqual(root, {
    type: "overlay",
    lower: ["/l/2", "/l/1"],
    upper: "/u",
    work: "/w",
    volatile: false,
    readonly: true,
  });
  const byPath = new Map(mounts.map((mount) => [mount.path, mount]));
  assert.deepEqual(byPath.get("/proc")?.options, ["nosuid", "noexec"]);
  assert.deepEqual(byPath.get("/dev")?.options, ["ro", "nosuid"]);
  assert.deepEqual(byPath.get("/data"), {
    path: "/data",
    type: "bind",
    source: "/host/data",
    options: ["ro"],
    data: [],
    propagation: "rslave",
    recursive: true,
  });
  assert.deepEqual(facts.maskedPaths, ["/proc/kcore"]);
  assert.deepEqual(facts.readonlyPaths, ["/proc/sys"]);
  assert.deepEqual(facts.capabilities.bounding, ["CAP_CHOWN", "CAP_KILL"]);
  assert.deepEqual(facts.capabilities.effective, []);
  assert.ok((facts.seccomp?.instructions ?? 0) > 0);
  assert.deepEqual(facts.sysctls, [{ name: "kernel.shmmax", value: "9" }]);
  assert.equal(facts.hostname, "box");
  assert.ok(facts.deviceRules.lines.includes("allow c 1:3 rwm"));
  assert.deepEqual(process, {
    argv: ["/init", "a b"],
    env: ["SECRET=1", "PATH=/bin"],
    cwd: "/work",
    uid: 7,
    gid: 8,
    groups: [9],
    umask: 0o27,
    noNewPrivileges: true,
    rlimits: [{ name: "NOFILE", soft: "10", hard: "unlimited" }],
    oomScoreAdj: 100,
    terminal: false,
  });
});

test("operations are listed with their numbers, and values of the environment are left out", () => {
  const { plan } = planOf(everything);
  const facts = operationFacts(plan);
  assert.equal(facts.length, plan.host.length + plan.container.length + plan.teardown.length);
  const clone = facts.find(({ name }) => name === "clone");
  assert.equal(clone?.number, 50);
  const execve = facts.find(({ name }) => name === "execve");
  assert.match(execve?.says ?? "", /SECRET/);
  assert.doesNotMatch(execve?.says ?? "", /SECRET=1/);
});

test("binds that come over after clone keep their sources and options", () => {
  const mounts = Array.from({ length: 50 }, (_, i) => ({
    destination: `/m${i}`,
    type: "bind",
    source: `/s${i}`,
    options: ["bind", i % 2 === 0 ? "ro" : "rw"],
  }));
  const facts = planFacts(
    planOf({ ...everything, mounts, linux: { namespaces: [{ type: "mount" }, { type: "uts" }] } }),
  );
  const told = facts.mounts.map(({ path, source, options }) => `${path} ${source} ${options}`);
  assert.deepEqual(
    told,
    mounts.map((_, i) => `/m${i} /s${i} ${i % 2 === 0 ? "ro" : ""}`),
  );
});
