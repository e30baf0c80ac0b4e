// The mounts of a configuration: where they go, whose ids they show, what travels between them and
// the host, what a tmpfs takes over, and what must not be mounted.

import assert from "node:assert/strict";
import { chown, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { MS } from "../../../src/runtime/kernel-numbers.ts";
import type { OciMount, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  hostTmpfs,
  hostUmount,
  inside,
  mountsOf,
  onHost,
  refused,
  within,
} from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const add =
  (...mounts: OciMount[]) =>
  (spec: OciSpec) =>
    void spec.mounts!.push(...mounts);

describe("gantry-runtime's mounts", { skip }, () => {
  let oci: OciFixture;
  let shared: string;
  before(async () => {
    oci = await OciFixture.make();
    shared = oci.path("shared");
    await onHost(
      oci,
      ...hostTmpfs(shared),
      { op: "propagation", path: shared, flags: MS.SHARED },
      ...hostTmpfs(`${shared}/in`),
    );
    for (const name of ["owned", "owned/deep"]) {
      await mkdir(oci.path(name), { recursive: true });
      await writeFile(oci.path(`${name}/file`), name);
      await chown(oci.path(`${name}/file`), 1000, 2000);
    }
  });
  after(async () => {
    await onHost(
      oci,
      ...["owned/deep", "shared/late", "shared/in", "shared"].map((name) =>
        hostUmount(oci.path(name)),
      ),
    );
    await oci[Symbol.asyncDispose]();
  });

  test(`destinations, types, sources and options are as the configuration has them ${proves("config", "mounts[]", "mounts[].destination", "mounts[].type", "mounts[].source", "mounts[].options[]")}`, async () => {
    const change = add(
      { destination: "/a/b/c", type: "tmpfs", source: "@one", options: ["size=64k,mode=700"] },
      { destination: "relative//x/../y", type: "tmpfs", source: "two" },
      { destination: "/file", source: oci.path("owned/file"), options: ["bind"] },
      { destination: "/a/b/c/over", type: "bind", source: oci.path("owned"), options: ["ro"] },
    );
    await within(oci, change, async (container) => {
      const mounts = await mountsOf(container.pid);
      const { source, superOptions, fstype } = mounts.get("/a/b/c")!;
      assert.deepEqual([source, fstype], ["@one", "tmpfs"]);
      assert.ok(superOptions.includes("size=64k") && superOptions.includes("mode=700"));
      assert.equal(mounts.get("/relative/y")!.source, "two");
      assert.equal(await inside(oci, container, "cat", "/file"), "owned");
      assert.equal(await inside(oci, container, "cat", "/a/b/c/over/file"), "owned");
      assert.ok(mounts.get("/a/b/c/over")!.options.includes("ro"));
    });
  });

  test(`owners are seen through a map of the mount's own ${proves("config", "mounts[].uidMappings[]", "mounts[].uidMappings[].containerID", "mounts[].uidMappings[].hostID", "mounts[].uidMappings[].size", "mounts[].gidMappings[]", "mounts[].gidMappings[].containerID", "mounts[].gidMappings[].hostID", "mounts[].gidMappings[].size")} ${proves("mount-option", "idmap", "ridmap")}`, async () => {
    // One range each, and several that are in no order: 1000 is seen as 5, 2000 as 77.
    const uidMappings = [
      { containerID: 1001, hostID: 6, size: 10 },
      { containerID: 0, hostID: 100, size: 5 },
      { containerID: 1000, hostID: 5, size: 1 },
      ...[20, 30, 40, 50].map((id) => ({ containerID: id, hostID: id, size: 2 })),
    ];
    const gidMappings = [
      { containerID: 1990, hostID: 67, size: 20 },
      { containerID: 0, hostID: 0, size: 1 },
    ];
    await onHost(oci, ...hostTmpfs(oci.path("owned/deep")));
    await writeFile(oci.path("owned/deep/file"), "beneath");
    await chown(oci.path("owned/deep/file"), 1000, 2000);
    const source = oci.path("owned");
    const maps = { source, uidMappings, gidMappings };
    const change = add(
      { destination: "/top", ...maps, options: ["rbind", "idmap"] },
      { destination: "/all", ...maps, options: ["rbind", "ridmap"] },
      { destination: "/word", ...maps, options: ["rbind"] },
    );
    await within(oci, change, async (container) => {
      const owner = async (path: string) =>
        /uid=(\d+) gid=(\d+)/
          .exec(await inside(oci, container, "stat", path))!
          .slice(1)
          .join();
      assert.equal(await owner("/top/file"), "5,77");
      assert.equal(await owner("/top/deep/file"), "1000,2000");
      assert.equal(await owner("/all/deep/file"), "5,77");
      assert.equal(await owner("/word/file"), "5,77");
      // What is made through the map belongs to whom it says on the host's side.
      await oci.ok("exec", "-u", "5:77", container.id, "write", "/all/deep/new", "x");
      const { stdout } = await oci.call("exec", container.id, "stat", "/top/deep/new");
      assert.match(stdout, /uid=1000 gid=2000/);
      assert.ok((await mountsOf(container.pid)).get("/all/deep")!.options.includes("idmapped"));
    });
  });

  test("an id map without its other half, without any map, or not of a bind, is refused", async () => {
    const uidMappings = [{ containerID: 0, hostID: 5, size: 1 }];
    const source = oci.path("owned");
    const say = (mount: Omit<OciMount, "destination">) =>
      refused(oci, add({ destination: "/m", ...mount }));
    assert.match(
      await say({ source, uidMappings, options: ["bind", "idmap"] }),
      /uidMappings and gidMappings need one another/,
    );
    assert.match(await say({ source, options: ["bind", "idmap"] }), /idmap needs uidMappings/);
    const both = { uidMappings, gidMappings: uidMappings };
    assert.match(await say({ type: "tmpfs", ...both }), /for bind mounts only/);
    const overlapping = [...uidMappings, { containerID: 4, hostID: 5, size: 2 }];
    assert.match(
      await say({ source, uidMappings: overlapping, gidMappings: overlapping, options: ["bind"] }),
      /the ranges overlap at hostID 5/,
    );
  });

  test(`propagation is what the option says, for one mount or for all beneath ${proves("mount-option", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")}`, async () => {
    const words = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
    const all = [...words, "unbindable", "runbindable"];
    const change = add(
      ...all.map((word) => {
        return { destination: `/${word}`, source: shared, options: ["rbind", word] };
      }),
      { destination: "/both", source: shared, options: ["rbind", "rslave", "rshared"] },
      { destination: "/none", source: shared, options: ["rbind"] },
      { destination: "/made", type: "tmpfs", options: ["shared"] },
    );
    await within(oci, change, async ({ pid }) => {
      const mounts = await mountsOf(pid);
      const host = (await mountsOf("self")).get(shared)!.tags[0]!.split(":")[1]!;
      const tags = (path: string) => mounts.get(path)!.tags.map((tag) => tag.replace(host, "H"));
      assert.deepEqual(tags("/private"), []);
      assert.deepEqual(tags("/shared"), ["shared:H"]);
      assert.deepEqual(tags("/slave"), ["master:H"]);
      assert.deepEqual(tags("/unbindable"), ["unbindable"]);
      assert.deepEqual(tags("/both").length, 2);
      assert.deepEqual(tags("/none"), ["master:H"]);
      assert.match(tags("/made").join(), /^shared:\d+$/);
      const beneath = (path: string) => mounts.get(`${path}/in`)!.tags.join();
      assert.match(beneath("/private"), /shared/);
      assert.equal(beneath("/rprivate"), "");
      assert.match(beneath("/slave"), /shared/);
      assert.match(beneath("/rslave"), /^master:\d+$/);
      assert.match(beneath("/rshared"), /shared/);
      assert.equal(beneath("/runbindable"), "unbindable");
      assert.doesNotMatch(beneath("/unbindable"), /unbindable/);
      // What is mounted later arrives where it may.
      await onHost(oci, ...hostTmpfs(`${shared}/late`));
      const later = await mountsOf(pid);
      const arrived = words.filter((word) => later.has(`/${word}/late`));
      assert.deepEqual(arrived, ["slave", "rslave", "shared", "rshared"]);
    });
  });

  test(`a tmpfs takes over what is in its folder ${proves("mount-option", "tmpcopyup")}`, async () => {
    const folder = join(oci.runtime.native.rootfs, "var/copied");
    await mkdir(join(folder, "deep"), { recursive: true, mode: 0o750 });
    await writeFile(join(folder, "deep/file"), "copied", { mode: 0o640 });
    await chown(join(folder, "deep/file"), 3, 4);
    const options = ["tmpcopyup", "ro", "size=1m"];
    const change = add(
      { destination: "/var/copied", type: "tmpfs", options },
      { destination: "/var/none", type: "tmpfs", options: ["tmpcopyup"] },
    );
    await within(oci, change, async (container) => {
      assert.equal(await inside(oci, container, "cat", "/var/copied/deep/file"), "copied");
      const stat = await inside(oci, container, "stat", "/var/copied/deep/file");
      assert.match(stat, /mode=100640 uid=3 gid=4/);
      const mount = (await mountsOf(container.pid)).get("/var/copied")!;
      assert.deepEqual([mount.fstype, mount.options.includes("ro")], ["tmpfs", true]);
      await writeFile(join(folder, "deep/file"), "changed");
      assert.equal(await inside(oci, container, "cat", "/var/copied/deep/file"), "copied");
    });
    const source = oci.path("owned");
    const wrong = { destination: "/m", source, options: ["bind", "tmpcopyup"] };
    assert.match(await refused(oci, add(wrong)), /tmpcopyup is for tmpfs only/);
  });

  test("what cannot be given is an error, and leaves nothing", async () => {
    const source = oci.path("owned");
    const cases: [mount: OciMount, says: RegExp][] = [
      [{ destination: "/", type: "tmpfs" }, /destination can't be '\/'/],
      [{ destination: "/x/../..", type: "tmpfs" }, /destination can't be '\/'/],
      [{ destination: "/proc", type: "tmpfs" }, /cannot be mounted because it is inside \/proc/],
      [{ destination: "/x/../proc/sys", type: "tmpfs" }, /inside \/proc/],
      [{ destination: "/proc", source, options: ["bind"] }, /unexpected file system/],
      [{ destination: "/proc/1/fd", source, options: ["bind"] }, /inside \/proc/],
      [{ destination: "/m" }, /neither type nor bind option/],
      [{ destination: "/m", type: "nosuchfs" }, /nosuchfs/],
      [{ destination: "/m", type: "tmpfs", options: ["nosuchoption"] }, /nosuchoption/],
      [{ destination: "/m", type: "tmpfs", options: ["size=@5"] }, /size/],
      [{ destination: "/m", source: "/nothing/there", options: ["bind"] }, /no such file|ENOENT/i],
      [{ destination: "/m", source, options: ["bind", "size=1m"] }, /filesystem-specific.*size=1m/],
      [{ destination: "/m", source, options: ["bind", "sync"] }, /filesystem-specific.*sync/],
      [{ destination: "/m\0/etc", type: "tmpfs" }, /destination must be a text/],
      [{ destination: "/nothing", options: ["remount", "bind", "ro"] }, /./],
    ];
    for (const [mount, says] of cases) assert.match(await refused(oci, add(mount)), says);
  });

  test("a symlink of the image leads a mount neither out of the root, nor into /proc, nor over it", async () => {
    const { rootfs } = oci.runtime.native;
    const links: [name: string, target: string][] = [
      ["out", "/../../../../../../tmp"],
      ["toproc", "/proc/sys"],
      ["toroot", "/"],
      ["dangling", "made/by/it"],
    ];
    for (const [name, target] of links) await symlink(target, join(rootfs, name));
    try {
      const mount = (destination: string) => add({ destination, type: "tmpfs", source: "mine" });
      assert.match(await refused(oci, mount("/toproc")), /leads into \/proc/);
      assert.match(await refused(oci, mount("/proc/../toproc")), /leads into \/proc/);
      assert.match(await refused(oci, mount("/toroot")), /leads to the root/);
      const before = [...(await mountsOf("self")).values()].filter(
        ({ source }) => source === "mine",
      );
      assert.deepEqual(before, []);
      await within(oci, mount("/out/x"), async ({ pid }) => {
        assert.equal((await mountsOf(pid)).get("/tmp/x")!.source, "mine");
        assert.doesNotMatch(await readFile("/proc/self/mountinfo", "utf8"), / mine /);
      });
      await within(oci, mount("/dangling"), async ({ pid }) => {
        assert.equal((await mountsOf(pid)).get("/made/by/it")!.source, "mine");
      });
      await rm(join(rootfs, "proc"), { recursive: true });
      await symlink("tmp", join(rootfs, "proc"));
      assert.match(await refused(oci, () => {}), /symbolic|directory|ELOOP|ENOTDIR/i);
    } finally {
      for (const [name] of links) await rm(join(rootfs, name));
      await rm(join(rootfs, "proc"), { recursive: true, force: true });
      await mkdir(join(rootfs, "proc"));
    }
  });
});
