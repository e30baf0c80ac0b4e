import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../native/index.ts";
import type { KernelFeatures } from "./contract.ts";
import { PlanBuilder } from "./plan-builder.ts";
import { allDevices, planDeviceSources } from "./plan-devices.ts";
import { overlayOperations } from "./plan-rootfs.ts";
import { mapSlot, planMappedDev } from "./plan-userns.ts";

const kernel = { idmappedOverlay: true, overlayLowerdirAppend: true } as KernelFeatures;
const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const idMaps = { uid: map, gid: map };
const rootfs = {
  kind: "overlay",
  lowerDirs: ["/r/inits/1/fs", "/r/layers/b/diff", "/r/layers/a/diff"],
  upperDir: "/r/containers/c/fs",
  workDir: "/r/containers/c/work",
  idMaps,
} as const;

const names = (operations: readonly Operation[]) => operations.map(({ op }) => op);

test("layers are mapped where nobody else sees it, and overlay is mounted as their root", () => {
  const operations = overlayOperations(new PlanBuilder(), rootfs, { kernel, to: 2 });
  const each = ["openTree", "mountAttr", "moveMount", "close"];
  assert.deepEqual(names(operations), [
    ...["makeUserns", "open", "unshare", "propagation"],
    ...[...each, ...each, ...each],
    ...["fileIds", "fsmount", "fileIds", "setns", "close"],
  ]);
  const opened = operations.flatMap((one) => (one.op === "openTree" ? [one.path] : []));
  assert.deepEqual(opened, ["/r/inits", "/r/layers", "/r/containers/c"]);
  const ids = operations.flatMap((one) => (one.op === "fileIds" ? [one.uid] : []));
  assert.deepEqual(ids, [100_000, 0]);
});

test("a folder inside another is mapped once, and a layer at the top of the disk by itself", () => {
  const folders = (lowerDirs: string[], upper: string) =>
    overlayOperations(
      new PlanBuilder(),
      { ...rootfs, lowerDirs, upperDir: `${upper}/fs`, workDir: `${upper}/work` },
      { kernel, to: 2 },
    ).flatMap((one) => (one.op === "openTree" ? [one.path] : []));
  assert.deepEqual(folders(["/r/containers/x/fs"], "/r/containers/c"), ["/r/containers"]);
  assert.deepEqual(folders(["/base", "/r/layers/a/diff"], "/up"), ["/base", "/r/layers", "/up"]);
});

test("without a map nothing of this is in the plan", () => {
  const { idMaps: _, ...plain } = rootfs;
  assert.deepEqual(names(overlayOperations(new PlanBuilder(), plain, { kernel, to: 2 })), [
    "fsmount",
  ]);
});

test("everything in a labelled root has its label, however the root is mounted", () => {
  const mountLabel = "u:object_r:f:s0:c1,c2";
  const labelled = (root: Parameters<typeof overlayOperations>[1], o = kernel) =>
    overlayOperations(new PlanBuilder(), { ...root, mountLabel }, { kernel: o, to: 2 });
  const { idMaps: _, ...plain } = rootfs;
  const strings = { ...kernel, overlayLowerdirAppend: false };
  for (const operations of [labelled(rootfs), labelled(plain), labelled(plain, strings)]) {
    const mount = operations.find(({ op }) => op === "fsmount");
    assert.ok(mount?.op === "fsmount" && mount.options.includes(`context=${mountLabel}`));
  }
  // A page of options in one string, in which a comma stands within quotes.
  const lowerDirs = Array.from({ length: 40 }, (_, i) => `/r/layers/${i}/diff`);
  const long = labelled({ ...rootfs, lowerDirs }, strings).find(({ op }) => op === "mount");
  assert.ok(long?.op === "mount" && long.data?.endsWith(`,context="${mountLabel}"`));
});

test("a kernel whose overlay takes no mapped layers is told of", () => {
  const old = { ...kernel, idmappedOverlay: false };
  assert.throws(() => overlayOperations(new PlanBuilder(), rootfs, { kernel: old, to: 2 }), {
    kind: "not-implemented",
    message: /Linux 5\.19/,
  });
});

test("a list of layers that is too long for an old kernel is mounted the old way", () => {
  const old = { ...kernel, overlayLowerdirAppend: false };
  const lowerDirs = Array.from({ length: 30 }, (_, i) => `/r/layers/${i}/diff`);
  const plan = overlayOperations(
    new PlanBuilder(),
    { ...rootfs, lowerDirs },
    { kernel: old, to: 2 },
  );
  assert.deepEqual(names(plan).slice(-8), [
    ...["fileIds", "chdir", "mount", "chdir", "openTree", "fileIds", "setns", "close"],
  ]);
});

test("a map is made once a plan, and for the moment where no slot is left", () => {
  const builder = new PlanBuilder();
  assert.deepEqual(names(mapSlot(builder, idMaps).make), ["makeUserns"]);
  assert.deepEqual(names(mapSlot(builder, idMaps).make), []);
  while (builder.tryAllocate() !== undefined);
  const other = { uid: [{ ...map[0]!, size: 7 }], gid: map };
  for (const _ of [1, 2]) {
    const { make, done } = mapSlot(builder, other);
    assert.deepEqual([...names(make), ...names(done)], ["makeUserns", "close"]);
  }
});

test("/dev is made where mknod is allowed, and belongs to the namespace's root", () => {
  const builder = new PlanBuilder();
  const mounts = [{ destination: "/dev", type: "tmpfs", options: ["nosuid", "size=1k"] }];
  const kvm = { path: "/dev/sub/kvm", type: "c", major: 10, minor: 232, gid: 36 };
  const devices = allDevices([kvm, { path: "/else/null", type: "c", major: 1, minor: 3 }]);
  const made = planMappedDev(builder, mounts, { devices, maps: idMaps });
  assert.equal(made?.mount, mounts[0]);
  assert.ok(made?.made.has("/dev/null") && !made?.made.has("/else/null"));
  const mount = builder.host.find((one) => one.op === "fsmount");
  assert.deepEqual(mount?.options, ["source=tmpfs", "size=1k", "uid=100000", "gid=100000"]);
  const chown = builder.host.filter((one) => one.op === "chown");
  assert.deepEqual(
    chown.map(({ path, gid }) => [path, gid]),
    [["/sub/kvm", 100_036]],
  );
  const bound = [{ destination: "/dev", type: "bind", source: "/dev", options: [] }];
  assert.equal(planMappedDev(builder, bound, { devices, maps: idMaps }), undefined);
});

test("a /dev that is made outside has every option, and refuses what it could not have", () => {
  const dev = (options: string[], more: { source?: string; device?: object } = {}) => {
    const builder = new PlanBuilder();
    const device = { path: "/dev/x", type: "c", major: 1, minor: 3, ...more.device };
    const mount = { destination: "/dev", type: "tmpfs", source: more.source ?? "", options };
    planMappedDev(builder, [mount], {
      ...{ devices: [device], maps: idMaps, mountLabel: "a:b" },
    });
    const found = builder.host.find((one) => one.op === "fsmount");
    return found?.op === "fsmount" && found.options;
  };
  assert.deepEqual(dev(["sync", "mode=@7"], { source: "@3" }), [
    ...["source=@@3", "mode=@@7", "uid=100000", "gid=100000", "context=a:b", "sync"],
  ]);
  assert.throws(() => dev(["tmpcopyup"]), /mount \/dev: tmpcopyup is not possible/);
  assert.throws(() => dev([], { device: { uid: 2 ** 31 } }), /\/dev\/x: its owner 2147483648/);
});

test("a device that is the host's own node has no mode or owner of another", () => {
  const device = { path: "/else/x", type: "c", major: 1, minor: 3 };
  assert.equal(planDeviceSources(new PlanBuilder(), [device]).size, 1);
  for (const more of [{ fileMode: 0o600 }, { uid: 0 }, { gid: 7 }]) {
    assert.throws(
      () => planDeviceSources(new PlanBuilder(), [{ ...device, ...more }]),
      /\/else\/x: fileMode, uid and gid are for devices beneath a \/dev of type tmpfs/,
    );
  }
});
