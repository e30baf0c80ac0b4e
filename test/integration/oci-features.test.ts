// `features` member by member: against the running kernel as it is seen from outside, against what
// a container really gets, and against runc where there is one. Engines have to be able to read it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chown, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import type { OciSpec } from "../../src/spec/index.ts";
import { OciFixture } from "../support/oci-fixture.ts";
import { printed, refusal, started, statusLine } from "../support/oci-look.ts";
import { mountsOf } from "../support/oci-outside.ts";
import { proves } from "../support/proves.ts";

const run = promisify(execFile);
const skip = process.getuid?.() === 0 ? false : "needs root";

/** What a program says; undefined where there is no such program. */
async function said(program: string, ...args: string[]): Promise<string | undefined> {
  try {
    return (await run(program, args)).stdout;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

const text = async (path: string) => (await readFile(path, "utf8").catch(() => "")).trim();
const lacking = (mine: string[], other: string[]) => other.filter((one) => !mine.includes(one));

describe("features", { skip }, () => {
  let oci: OciFixture;
  let features: {
    linux: {
      namespaces: string[];
      capabilities: string[];
      cgroup: Record<string, boolean>;
      seccomp: Record<
        "actions" | "operators" | "archs" | "knownFlags" | "supportedFlags",
        string[]
      > & {
        enabled: boolean;
      };
      apparmor: { enabled: boolean };
      selinux: { enabled: boolean };
      intelRdt: Record<string, boolean>;
      memoryPolicy: { modes: string[]; flags: string[] };
      mountExtensions: { idmap: { enabled: boolean } };
      netDevices: { enabled: boolean };
    };
    annotations: Record<string, string>;
    potentiallyUnsafeConfigAnnotations: string[];
  };
  /** runc's, of a version that has the command. */
  let theirs: typeof features | undefined;
  before(async () => {
    oci = await OciFixture.make();
    features = JSON.parse(await oci.ok("features"));
    const runc = await said("runc", "features").catch(() => undefined);
    theirs = runc === undefined ? undefined : JSON.parse(runc);
  });
  after(() => oci?.[Symbol.asyncDispose]());

  test(`namespaces are those that processes of this kernel have ${proves("features", "linux", "linux.namespaces")}`, async () => {
    const names: Record<string, string> = { mount: "mnt", network: "net" };
    const kernel = (await readdir("/proc/self/ns")).filter((name) => !name.includes("_"));
    const mine = features.linux.namespaces.map((name) => names[name] ?? name);
    assert.deepEqual(mine.toSorted(), kernel.toSorted());
    assert.deepEqual(lacking(features.linux.namespaces, theirs?.linux.namespaces ?? []), []);
  });

  test(`capabilities are those of the kernel, and a container has them ${proves("features", "linux.capabilities")}`, async () => {
    const { capabilities } = features.linux;
    assert.equal(capabilities.length, Number(await text("/proc/sys/kernel/cap_last_cap")) + 1);
    const bounding = BigInt(`0x${await statusLine(process.pid, "CapBnd")}`);
    const held = capabilities.filter((_, bit) => (bounding >> BigInt(bit)) & 1n);
    await using container = await started(oci, (spec) => {
      spec.process!.capabilities = { bounding: held, permitted: held, effective: held };
    });
    const found = BigInt(`0x${await statusLine(container.pid, "CapEff")}`);
    assert.equal(found, bounding & ((1n << BigInt(capabilities.length)) - 1n));
    assert.deepEqual(lacking(capabilities, theirs?.linux.capabilities ?? []), []);
  });

  test(`cgroups are those that are mounted ${proves("features", "linux.cgroup", "linux.cgroup.v1", "linux.cgroup.v2", "linux.cgroup.systemd", "linux.cgroup.systemdUser", "linux.cgroup.rdma")}`, async () => {
    const mounts = [...(await mountsOf("self")).values()];
    const ofKind = (kind: string) => mounts.filter(({ fstype }) => fstype === kind);
    const unified = ofKind("cgroup2")[0]?.path;
    const controllers = unified ? (await text(`${unified}/cgroup.controllers`)).split(" ") : [];
    const v1 = ofKind("cgroup");
    const { cgroup } = features.linux;
    assert.deepEqual(cgroup, {
      v1: v1.length > 0,
      v2: unified !== undefined,
      systemd: v1.length === 0 && unified !== undefined,
      systemdUser: false,
      rdma:
        controllers.includes("rdma") ||
        v1.some(({ superOptions }) => superOptions.includes("rdma")),
    });
    // Where it is said not to be had it is refused; test/vm/systemd has a systemd.
    if (cgroup["systemd"]) return;
    const { id, bundle } = await oci.bundle(["true"]);
    const { stderr } = await oci.call("--systemd-cgroup", "run", "-b", bundle, id);
    assert.match(stderr, /--systemd-cgroup needs cgroup v2 alone/);
  });

  test(`filters have the actions that the kernel has ${proves("features", "linux.seccomp", "linux.seccomp.enabled", "linux.seccomp.actions", "linux.seccomp.operators", "linux.seccomp.archs")}`, async () => {
    const available = await text("/proc/sys/kernel/seccomp/actions_avail");
    const { seccomp } = features.linux;
    assert.equal(seccomp.enabled, available !== "");
    const words: Record<string, string> = { KILL: "kill_thread", NOTIFY: "user_notif" };
    const mine = seccomp.actions.map((name) => name.replace("SCMP_ACT_", ""));
    const inKernel = mine.map((name) => words[name] ?? name.toLowerCase());
    assert.deepEqual([...new Set(inKernel)].sort(), available.split(/\s+/).filter(Boolean).sort());
    const args = [{ index: 0, value: 9999, valueTwo: 9999, op: "" }];
    for (const op of seccomp.operators) {
      const filter = {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: seccomp.archs,
        syscalls: [
          { names: ["personality"], action: "SCMP_ACT_ERRNO", args: [{ ...args[0]!, op }] },
        ],
      };
      const change = ({ linux }: OciSpec) => void Object.assign(linux!, { seccomp: filter });
      assert.equal(await printed(oci, ["echo", op], change), op);
    }
    assert.equal(seccomp.operators.length, 7);
    if (!theirs) return;
    for (const key of ["actions", "operators", "archs"] as const) {
      assert.deepEqual(lacking(seccomp[key], theirs.linux.seccomp[key]), []);
    }
  });

  test(`flags of filters are taken by the kernel ${proves("features", "linux.seccomp.knownFlags", "linux.seccomp.supportedFlags")}`, async () => {
    const { knownFlags, supportedFlags } = features.linux.seccomp;
    assert.deepEqual(lacking(knownFlags, supportedFlags), []);
    for (const flag of supportedFlags) {
      const change = ({ linux }: OciSpec) =>
        void Object.assign(linux!, {
          seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [], flags: [flag] },
        });
      // This one is for filters with an agent alone (test/conformance/oci/seccomp-agent.test.ts).
      if (flag === "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
        assert.match(await refusal(oci, change), /WAIT_KILLABLE_RECV needs SCMP_ACT_NOTIFY/);
      } else {
        assert.equal(await printed(oci, ["echo", flag], change), flag);
      }
    }
    assert.match(
      await refusal(oci, ({ linux }) =>
        Object.assign(linux!, {
          seccomp: {
            defaultAction: "SCMP_ACT_ALLOW",
            syscalls: [],
            flags: ["SECCOMP_FILTER_FLAG_X"],
          },
        }),
      ),
      /not known/,
    );
  });

  test(`security modules are those that run ${proves("features", "linux.apparmor", "linux.apparmor.enabled", "linux.selinux", "linux.selinux.enabled")}`, async () => {
    const modules = (await text("/sys/kernel/security/lsm")).split(",");
    const { apparmor, selinux } = features.linux;
    const hasApparmor = (await text("/sys/module/apparmor/parameters/enabled")).startsWith("Y");
    assert.equal(apparmor.enabled, modules.includes("apparmor") || hasApparmor);
    assert.equal(
      selinux.enabled,
      modules.includes("selinux") || existsSync("/sys/fs/selinux/enforce"),
    );
    if (!apparmor.enabled) {
      const why = await refusal(
        oci,
        (spec) => void (spec.process!.apparmorProfile = "docker-default"),
      );
      assert.match(why, /apparmor/i);
    }
    if (!selinux.enabled) {
      const why = await refusal(oci, (spec) => void (spec.process!.selinuxLabel = "a:b:c:s0"));
      assert.match(why, /selinux/i);
    }
  });

  test(`classes of the processor's caches are understood ${proves("features", "linux.intelRdt", "linux.intelRdt.enabled", "linux.intelRdt.schemata", "linux.intelRdt.monitoring")}`, async (t) => {
    assert.deepEqual(features.linux.intelRdt, { enabled: true, schemata: true, monitoring: true });
    if ((await text("/proc/filesystems")).includes("resctrl") && oci.runtime.kernel.resctrl) {
      return t.skip("this host has resctrl: the conformance tests of it do more");
    }
    // That they do something is test/conformance/oci/rdt.test.ts: here only the host is in the way.
    for (const more of [{ schemata: ["MB:0=50"] }, { enableMonitoring: true }, {}]) {
      const change = ({ linux }: OciSpec) => void Object.assign(linux!, { intelRdt: more });
      assert.match(await refusal(oci, change), /no resctrl file system is mounted/);
    }
    const wrong = ({ linux }: OciSpec) =>
      void Object.assign(linux!, { intelRdt: { schemata: ["nonsense"] } });
    assert.match(await refusal(oci, wrong), /intelRdt/);
  });

  test(`memory policies are those that set_mempolicy takes ${proves("features", "linux.memoryPolicy", "linux.memoryPolicy.modes", "linux.memoryPolicy.flags")}`, async () => {
    const { modes, flags } = features.linux.memoryPolicy;
    const policyOf = async (memoryPolicy: object) =>
      await printed(
        oci,
        ["mempolicy"],
        ({ linux }) => void Object.assign(linux!, { memoryPolicy }),
      );
    const noNodes = ["MPOL_DEFAULT", "MPOL_LOCAL"];
    const seen = new Set<string>();
    for (const mode of modes) {
      const nodes = noNodes.includes(mode) ? {} : { nodes: "0" };
      seen.add(/mode=(\d+)/.exec(await policyOf({ mode, ...nodes }))![1]!);
    }
    assert.equal(seen.size, modes.length);
    for (const flag of flags) {
      const said = await policyOf({ mode: "MPOL_BIND", nodes: "0", flags: [flag] });
      assert.match(said, /flags=[248]000/);
    }
    const [major = 0, minor = 0] = release().split(".").map(Number);
    const isNew = major > 6 || (major === 6 && minor >= 9);
    assert.equal(modes.includes("MPOL_WEIGHTED_INTERLEAVE"), isNew);
  });

  test(`owners can be mapped in a mount ${proves("features", "linux.mountExtensions", "linux.mountExtensions.idmap", "linux.mountExtensions.idmap.enabled")}`, async () => {
    assert.equal(features.linux.mountExtensions.idmap.enabled, true);
    const source = oci.path("mapped");
    await mkdir(source);
    await writeFile(`${source}/file`, "");
    await chown(`${source}/file`, 1000, 1000);
    const map = [{ containerID: 1000, hostID: 3000, size: 1 }];
    const mount = { destination: "/mapped", source, options: ["bind", "idmap"] };
    await using container = await started(oci, (spec) => {
      spec.mounts!.push({ ...mount, uidMappings: map, gidMappings: map });
    });
    assert.equal((await stat(`${source}/file`)).uid, 1000);
    assert.equal((await stat(`/proc/${container.pid}/root/mapped/file`)).uid, 3000);
  });

  test(`devices of the network are looked for on the host ${proves("features", "linux.netDevices", "linux.netDevices.enabled")}`, async () => {
    assert.equal(features.linux.netDevices.enabled, true);
    const beside = await started(oci);
    try {
      const netns = `/proc/${beside.pid}/ns/net`;
      const link = ["ip", "link", "add", "feature0", "type", "veth", "peer", "feature1"];
      await run("nsenter", [`--net=${netns}`, "--", ...link]);
      oci.netns = netns;
      await using container = await started(oci, ({ linux }) => {
        Object.assign(linux!, { netDevices: { feature0: { name: "moved" } } });
      });
      assert.match(await text(`/proc/${container.pid}/net/dev`), /^\s*moved:/m);
      assert.doesNotMatch(await text(`/proc/${beside.pid}/net/dev`), /feature0:/);
    } finally {
      oci.netns = "";
      await beside[Symbol.asyncDispose]();
    }
  });

  test(`annotations name the version; none makes a container unsafe ${proves("features", "annotations", "potentiallyUnsafeConfigAnnotations")}`, async () => {
    const { annotations } = features;
    const version = await oci.ok("--version");
    assert.ok(version.includes(annotations["com.gantry.runtime.version"]!), version);
    assert.equal(annotations["org.opencontainers.runc.checkpoint.enabled"], "true");
    assert.deepEqual(Object.keys(annotations).sort(), [
      "com.gantry.runtime.version",
      "org.opencontainers.runc.checkpoint.enabled",
    ]);
    // None changes what a container may: not even those that are special to other runtimes.
    assert.deepEqual(features.potentiallyUnsafeConfigAnnotations, []);
    const status = async (annotations: Record<string, string>) => {
      await using container = await started(oci, (spec) => void (spec.annotations = annotations));
      const names = ["CapBnd", "CapEff", "NoNewPrivs", "Seccomp", "Uid"];
      return await Promise.all(names.map((name) => statusLine(container.pid, name)));
    };
    const special = {
      "run.oci.keep_original_groups": "1",
      "run.oci.systemd.force_cgroup_v1": "/x",
    };
    assert.deepEqual(
      await status({ ...special, "module.wasm.image/variant": "compat" }),
      await status({}),
    );
  });

  test("engines that read runc's can read it: what both have is of the same type", (t) => {
    if (!theirs) return t.skip("needs a runc that has the command");
    const typeOf = (value: unknown) => (Array.isArray(value) ? "list" : typeof value);
    const compare = (mine: unknown, other: unknown, at: string): void => {
      assert.equal(typeOf(mine), typeOf(other), at);
      if (typeOf(mine) !== "object") return;
      const own = mine as Record<string, unknown>;
      for (const [key, value] of Object.entries(other as object)) {
        if (key in own) compare(own[key], value, `${at}.${key}`);
        // Annotations name the program: each has its own.
        else assert.match(at, /annotations$/, `${at} has no ${key}`);
      }
    };
    compare(features, theirs, "features");
  });
});
