import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../native/index.ts";
import type { OciSpec } from "../spec/index.ts";
import type { CreateInput, KernelFeatures } from "./contract.ts";
import { planCreate } from "./plan-create.ts";
import { planExec } from "./plan-exec.ts";

const kernel: KernelFeatures = {
  release: "6.18.0",
  arch: "x86_64",
  cgroup: {
    version: 2,
    v1: new Map(),
    v2: { path: "/cg", controllers: ["cpu", "memory", "pids"] },
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

function input(change: (spec: OciSpec) => void = () => {}): CreateInput {
  const spec: OciSpec = {
    ociVersion: "1.2.0",
    process: { user: { uid: 0, gid: 0 }, args: ["/init"], env: [], cwd: "/" },
    linux: {
      namespaces: ["mount", "pid", "network", "ipc", "uts"].map((type) => ({ type })),
      cgroupsPath: "/gantry/c1",
    },
    mounts: [],
  };
  change(spec);
  return {
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
  };
}

const names = (operations: readonly Operation[]) => operations.map(({ op }) => op);
const plan = (change?: (spec: OciSpec) => void) => planCreate(input(change)).plan;

test("the halves tell the story in the order that the kernel forces", () => {
  const { host, container, teardown } = plan((spec) => {
    spec.mounts = [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] }];
    spec.linux!.maskedPaths = ["/proc/kcore"];
    spec.linux!.sysctl = { "net.core.somaxconn": "100" };
    spec.hostname = "box";
    spec.root = { path: "rootfs", readonly: true };
  });
  const before = (half: readonly Operation[], a: string, b: string) => {
    const [first, second] = [names(half).indexOf(a as never), names(half).indexOf(b as never)];
    assert.ok(first >= 0 && first < second, `${a} before ${b}`);
  };
  before(host, "mkdir", "clone"); // v2: it is born in its cgroup
  before(host, "devNull", "clone");
  before(host, "fsmount", "clone");
  before(host, "clone", "signalPeer");
  before(container, "propagation", "moveMount");
  before(container, "moveMount", "maskPath");
  before(container, "maskPath", "pivotRoot");
  before(container, "awaitPeer", "pivotRoot");
  before(container, "hostname", "pivotRoot");
  before(container, "pivotRoot", "capBounding");
  before(container, "closeFrom", "setuid");
  before(container, "capBounding", "setuid");
  before(container, "setgroups", "setuid");
  before(container, "setuid", "capset");
  before(container, "capset", "execve");
  assert.equal(container.at(-1)?.op, "execve");
  assert.deepEqual(names(teardown), ["killCgroup", "removeCgroup"]);
});

test("layers are given one by one, top first, and none is limited by the length of a line", () => {
  const options = plan().host.find((o) => o.op === "fsmount");
  assert.deepEqual(options?.op === "fsmount" && options.options, [
    "lowerdir+=/l/2",
    "lowerdir+=/l/1",
    "upperdir=/u",
    "workdir=/w",
  ]);
  const long = `/${"x".repeat(300)}`;
  const { host } = planCreate({
    ...input(),
    rootfs: { kind: "overlay", lowerDirs: [long], upperDir: "/u", workDir: "/w" },
  }).plan;
  const opened = host.find((o) => o.op === "open" && o.path === long);
  assert.ok(opened?.op === "open");
  const mount = host.find((o) => o.op === "fsmount");
  assert.ok(mount?.op === "fsmount" && mount.options.includes(`lowerdir+=@${opened.to}`));
});

test("the filter comes last with no_new_privs, and while privilege is there without", () => {
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW" };
  const order = (noNewPrivileges: boolean) =>
    names(
      plan((spec) => {
        spec.linux!.seccomp = seccomp;
        spec.process!.noNewPrivileges = noNewPrivileges;
      }).container,
    ).filter((op) => op === "seccomp" || op === "capset");
  assert.deepEqual(order(true), ["capset", "seccomp"]);
  assert.deepEqual(order(false), ["seccomp", "capset"]);
});

test("a cgroup namespace is made only when the process is in its cgroup", () => {
  const { container, host } = plan((spec) => {
    spec.linux!.namespaces!.push({ type: "cgroup" });
  });
  const ops = names(container);
  assert.ok(ops.indexOf("awaitPeer") < ops.indexOf("unshare"));
  const clone = host.find((o) => o.op === "clone");
  assert.equal(clone?.op === "clone" && Number(clone.flags) & 0x02000000, 0);
});

test("a user namespace is mapped before anything, and binds the host's device nodes", () => {
  const { host, container } = plan((spec) => {
    spec.linux!.namespaces!.push({ type: "user" });
    spec.linux!.uidMappings = [{ containerID: 0, hostID: 1000, size: 10 }];
    spec.linux!.gidMappings = [{ containerID: 0, hostID: 2000, size: 10 }];
  });
  const maps = host.filter((o) => o.op === "writeProc").map((o) => o.op === "writeProc" && o.file);
  assert.deepEqual(maps, ["uid_map", "gid_map"]);
  assert.deepEqual(names(container).slice(0, 3), ["awaitPeer", "setgid", "setuid"]);
  assert.equal(names(container).includes("mknod"), false);
  assert.ok(host.some((o) => o.op === "assertDevice" && o.minor === 8));
});

test("a joined pid namespace is entered before clone, others by the container itself", () => {
  const { host, container } = plan((spec) => {
    spec.linux!.namespaces = [
      { type: "mount" },
      { type: "pid", path: "/proc/7/ns/pid" },
      { type: "network", path: "/proc/7/ns/net" },
    ];
  });
  const ops = names(host);
  assert.ok(ops.indexOf("setns") < ops.indexOf("clone"));
  assert.equal(ops.filter((op) => op === "assertFilesystem").length, 2);
  assert.equal(names(container)[0], "setns");
  // The loopback of somebody else's network is not ours to touch.
  assert.equal(names(container).includes("netlink"), false);
});

test("binds leave slots to the namespaces that are joined", () => {
  const { host, container } = plan((spec) => {
    const types = ["network", "ipc", "uts"];
    const joined = types.map((type) => ({ type, path: `/proc/7/ns/${type}` }));
    spec.linux!.namespaces = [{ type: "mount" }, { type: "pid" }, ...joined];
    spec.mounts = spec50().map((destination) => {
      return { destination, type: "bind", source: "/s", options: ["rbind"] };
    });
  });
  assert.equal(names(host).filter((op) => op === "assertFilesystem").length, 3);
  assert.deepEqual(names(container).slice(0, 6), Array(3).fill(["setns", "close"]).flat());
});

test("binds that do not fit into slots come over after clone, in the order of the spec", () => {
  const { host, container } = plan((spec) => {
    spec.mounts = Array.from({ length: 50 }, (_, i) => ({
      destination: `/m${i}`,
      type: "bind",
      source: `/s${i}`,
      options: ["rbind", "ro"],
    }));
  });
  const sent = names(host).filter((op) => op === "sendSlot").length;
  const received = names(container).filter((op) => op === "receiveSlot").length;
  assert.ok(sent > 0);
  assert.equal(sent, received);
  const clone = names(host).indexOf("clone");
  assert.ok(names(host).indexOf("sendSlot") > clone);
  const targets = container
    .filter((o) => o.op === "moveMount")
    .map((o) => (o.op === "moveMount" ? o.path : ""))
    .filter((path) => path.startsWith("/m"));
  assert.deepEqual(targets, spec50());
});
const spec50 = () => Array.from({ length: 50 }, (_, i) => `/m${i}`);

test("what cannot be given is refused with a reason", () => {
  const cases: [(spec: OciSpec) => void, RegExp][] = [
    [(s) => (s.process!.args = []), /args must not be empty/],
    [(s) => (s.process!.cwd = "tmp"), /Cwd must be an absolute path/],
    [(s) => (s.linux!.namespaces = []), /mount namespace/],
    [(s) => s.linux!.namespaces!.push({ type: "pid" }), /duplicated ns/],
    [(s) => s.linux!.namespaces!.push({ type: "moon" }), /does not exist/],
    [(s) => (s.linux!.sysctl = { "kernel.panic": "1" }), /"kernel.panic" is not in a separate/],
    [(s) => (s.linux!.sysctl = { "net/../kernel/panic": "1" }), /invalid sysctl|not in a separate/],
    [(s) => (s.process!.rlimits = [{ type: "RLIMIT_X", soft: 1, hard: 1 }]), /not valid/],
    [(s) => (s.process!.apparmorProfile = "x"), /apparmor/],
    [(s) => (s.linux!.intelRdt = {}), /no resctrl file system/],
    [(s) => (s.hooks = { poststop: [{ path: "/x" }] } as never), /hooks/],
    [(s) => (s.mounts = [{ destination: "/", type: "tmpfs" }]), /destination can't be/],
    [(s) => (s.mounts = [{ destination: "/x/../proc/sys", type: "tmpfs" }]), /inside \/proc/],
    [(s) => (s.linux!.rootfsPropagation = "x"), /rootfsPropagation/],
  ];
  for (const [change, pattern] of cases) assert.throws(() => plan(change), pattern);
});

test("sysctls are written through the host's untouched /proc, before the root changes", () => {
  const { container } = plan((spec) => {
    spec.linux!.sysctl = { "net.ipv4.conf.eth0/1.forwarding": "1", "net/core/somaxconn": "5" };
  });
  const paths = container.filter((o) => o.op === "write").map((o) => o.op === "write" && o.path);
  assert.deepEqual(paths, [
    "/proc/sys/net/ipv4/conf/eth0.1/forwarding",
    "/proc/sys/net/core/somaxconn",
  ]);
});

test("an exec enters cgroups before namespaces, and is born inside", () => {
  const { host, container, teardown } = planExec({
    execId: "e1",
    pid: 42,
    process: { user: { uid: 5, gid: 5 }, args: ["id"], env: [], cwd: "/", execCPUAffinity: {} },
    kernel,
    cgroupPaths: { "": "/cg/gantry/c1" },
    terminal: false,
    openStdin: true,
  });
  const ops = names(host);
  assert.ok(ops.indexOf("write") < ops.indexOf("setns"));
  assert.equal(ops.filter((op) => op === "setns").length, 1);
  assert.equal(ops.at(-1), "clone");
  assert.equal(names(container).includes("setns"), false);
  assert.deepEqual(teardown, []);
});
