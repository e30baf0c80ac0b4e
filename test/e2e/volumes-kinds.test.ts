// Kinds of mounts through docker's own client: parts of volumes and images, mounts that pass mounts
// on, read-only all the way down, and binds whose files belong to the container's user.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("kinds of mounts", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const flags = ["--network", "none"];
  const run = (...args: string[]) => ok("run", "--rm", ...flags, ...args);
  const start = (...args: string[]) => ok("run", "-d", ...flags, ...args);
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(["run", "--rm", ...flags, ...args]);
    assert.notEqual(code, 0, args.join(" "));
    return stderr;
  };
  const host = (...args: string[]) =>
    execFileSync("nsenter", ["-t", String(daemon.holderPid), "-m", "--", ...args]);
  const hostMounts = () => readFile(`/proc/${daemon.holderPid}/mountinfo`, "utf8");
  const folder = async (name: string): Promise<string> => {
    const path = join(daemon.folder, name);
    await mkdir(path, { recursive: true });
    return path;
  };
  const data = (name: string) => join(daemon.folder, "data/volumes", name, "_data");
  const part = (name: string, subpath: string) =>
    `type=volume,src=${name},dst=/part,volume-subpath=${subpath}`;

  test("a part of a volume: a folder, a file, and nothing that is not there", async () => {
    await ok("volume", "create", "parts");
    await mkdir(join(data("parts"), "one/two"), { recursive: true });
    await writeFile(join(data("parts"), "one/two/file"), "inside\n");
    const two = part("parts", "one/two");
    assert.equal(
      await run("--mount", `${two},volume-nocopy`, IMAGE, "cat", "/part/file"),
      "inside",
    );
    const file = part("parts", "one/two/file");
    assert.equal(await run("--mount", file, IMAGE, "cat", "/part"), "inside");
    assert.match(
      await refuse("--mount", part("parts", "one/three"), IMAGE),
      /cannot access path ".*\/parts\/_data\/one\/three": no such file or directory/,
    );
    await ok("volume", "rm", "parts");
  });

  test("a part of a volume is filled from the image where it is empty", async () => {
    await ok("volume", "create", "halves");
    await mkdir(join(data("halves"), "deep/part"), { recursive: true });
    const mount = "type=volume,src=halves,dst=/data,volume-subpath=deep/part";
    assert.equal(await run("--mount", mount, IMAGE, "cat", "/data/seed"), "seed");
    assert.equal(await readFile(join(data("halves"), "deep/part/seed"), "utf8"), "seed\n");
    const { uid } = await stat(join(data("halves"), "deep/part/seed"));
    assert.equal(uid, 1000);
    await ok("volume", "rm", "halves");
  });

  test("links in a volume lead a subpath nowhere outside of it", async () => {
    await ok("volume", "create", "traps");
    const outside = await folder("outside");
    await writeFile(join(outside, "secret"), "secret\n");
    const at = data("traps");
    await symlink(outside, join(at, "absolute"));
    await symlink(`../../../../${"../".repeat(20)}${outside.slice(1)}`, join(at, "up"));
    await symlink("/proc/self/root", join(at, "magic"));
    await mkdir(join(at, "folder"));
    await symlink("../../..", join(at, "folder/out"));
    await symlink("/folder", join(at, "within"));
    await writeFile(join(at, "folder/mine"), "mine\n");
    for (const subpath of ["absolute", "up", "magic", "absolute/secret", "magic/etc"]) {
      const stderr = await refuse("--mount", part("traps", subpath), IMAGE, "ls", "/part");
      assert.match(stderr, /cannot access path/, subpath);
    }
    // "The root" of a link is the volume, however far up it points.
    const top = await run("--mount", part("traps", "folder/out"), IMAGE, "ls", "/part");
    assert.match(top, /^absolute\nfolder\n/);
    assert.equal(await run("--mount", part("traps", "within"), IMAGE, "cat", "/part/mine"), "mine");
    await ok("volume", "rm", "traps");
  });

  test("a container that swaps a folder for a link never gets another out of the volume", async () => {
    await ok("volume", "create", "race");
    const outside = await folder("race-outside");
    await writeFile(join(outside, "secret"), "secret\n");
    await mkdir(join(data("race"), "a"));
    await symlink(outside, join(data("race"), "b"));
    let racing = true;
    const race = (async () => {
      const [a, b, c] = ["a", "b", "c"].map((name) => join(data("race"), name));
      while (racing) {
        host(
          "sh",
          "-c",
          `for i in 1 2 3 4 5 6 7 8; do mv ${a} ${c}; mv -T ${b} ${a}; mv ${c} ${b}; done`,
        );
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const mount = `${part("race", "a")},volume-nocopy`;
    for (let i = 0; i < 6; i++) {
      const { stdout } = await daemon.client([
        ...["run", "--rm", ...flags, "--mount", mount, IMAGE, "ls", "/part"],
      ]);
      assert.ok(!stdout.includes("secret"), stdout);
    }
    racing = false;
    await race;
    await ok("volume", "rm", "race");
  });

  test("an image is mounted whole or in part, writable for its container where asked", async () => {
    const image = (more = "") => `type=image,src=${IMAGE},dst=/image${more}`;
    assert.equal(await run("--mount", image(), IMAGE, "cat", "/image/data/seed"), "seed");
    const sub = image(",image-subpath=data");
    assert.equal(await run("--mount", sub, IMAGE, "cat", "/image/seed"), "seed");
    const file = image(",image-subpath=data/seed");
    assert.equal(await run("--mount", file, IMAGE, "cat", "/image"), "seed");
    const writable = {
      ...{ Type: "image", Source: IMAGE, Target: "/image" },
      ImageOptions: { Writable: true },
    };
    const names = await run("--mount", image(), IMAGE, "ls", "/image");
    assert.ok(!names.includes(".dockerenv"), names);
    const { id } = await daemon.dockerode.createContainer({
      ...{ Image: IMAGE, Cmd: ["append", "/image/own", "x"] },
      HostConfig: { NetworkMode: "none", Mounts: [writable as never] },
    });
    await ok("start", "-a", id);
    await ok("start", "-a", id);
    const seen = await run("--volumes-from", id, IMAGE, "ls", "/image");
    assert.ok(!seen.includes("own"), "the other's layer is its own");
    assert.match(
      await ok("inspect", "-f", "{{json .Mounts}}", id),
      /"Type":"image","Name":.*"RW":true/,
    );
    await daemon.restart("SIGKILL");
    await ok("start", "-a", id);
    await ok("rm", id);
    const denied = await refuse("--mount", image(), IMAGE, "write", "/image/x", "y");
    assert.match(denied, /Read-only file system/);
    const missing = await refuse("--mount", "type=image,src=nosuch,dst=/i", IMAGE);
    assert.match(missing, /No such image: nosuch:latest/);
    assert.ok(!missing.includes("Unable to find image"), missing);
    const nowhere = await refuse("--mount", image(",image-subpath=nosuch"), IMAGE);
    assert.match(nowhere, /cannot access path "nosuch": no such file or directory/);
    const left = execFileSync("ls", [join(daemon.folder, "data/containers")], { encoding: "utf8" });
    assert.equal(left, "");
  });

  test("the propagation of a bind is what was asked for, or it is refused", async () => {
    const source = await folder("propagate");
    host("mount", "-t", "tmpfs", "none", source);
    host("mount", "--make-private", source);
    try {
      for (const [mode, kind] of [
        ["shared", "shared"],
        ["rshared", "shared"],
        ["slave", "shared or slave"],
        ["rslave", "shared or slave"],
      ] as const) {
        const stderr = await refuse("-v", `${source}:/p:${mode}`, IMAGE);
        const words = `path ${source} is mounted on ${source} but it is not a ${kind} mount`;
        assert.ok(stderr.includes(words), stderr);
      }
      host("mount", "--make-shared", source);
      const slave = await start("-v", `${source}:/p:rslave`, IMAGE, "sleep");
      const alone = await start("-v", `${source}:/p`, IMAGE, "sleep");
      host("mkdir", `${source}/late`);
      host("mount", "-t", "tmpfs", "late", `${source}/late`);
      assert.match(await ok("exec", slave, "cat", "/proc/self/mountinfo"), / \/p\/late /);
      assert.doesNotMatch(await ok("exec", alone, "cat", "/proc/self/mountinfo"), / \/p\/late /);
      host("umount", `${source}/late`);
      assert.doesNotMatch(await ok("exec", slave, "cat", "/proc/self/mountinfo"), / \/p\/late /);
      await ok("rm", "-f", slave, alone);
      const shared = await start("--privileged", "-v", `${source}:/p:rshared`, IMAGE, "sleep");
      await ok("exec", "--privileged", shared, "mkdir", "/p/inner");
      await ok("exec", "--privileged", shared, "mount", "tmpfs", "/p/inner");
      assert.ok((await hostMounts()).includes(` ${source}/inner `));
      await ok("rm", "-f", shared);
      host("umount", `${source}/inner`);
    } finally {
      host("umount", "-R", source);
    }
  });

  test("a bind of the whole host is a slave, so that it holds no volume's mount", async () => {
    const id = await ok("create", ...flags, "-v", "/:/host", IMAGE);
    assert.equal(await ok("inspect", "-f", "{{(index .Mounts 0).Propagation}}", id), "rslave");
    await ok("start", id);
    await ok("rm", "-f", id);
    assert.match(
      await refuse("-v", "/:/host:rprivate", IMAGE),
      /must use either propagation mode "rslave" or "rshared" when mount source is within the daem/,
    );
  });

  test("read-only goes all the way down, unless it is to stop at the top", async () => {
    const source = await folder("layers");
    host("mount", "-t", "tmpfs", "none", source);
    host("mkdir", `${source}/below`);
    host("mount", "-t", "tmpfs", "none", `${source}/below`);
    const bind = `type=bind,src=${source},dst=/b,readonly`;
    try {
      const write = [IMAGE, "write", "/b/below/x", "y"];
      const denied = /Read-only file system/;
      assert.match(await refuse("-v", `${source}:/b:ro`, ...write), denied);
      assert.match(await refuse("--mount", bind, ...write), denied);
      await run("--mount", `${bind},bind-recursive=writable`, ...write);
      const readonly = `${bind},bind-recursive=readonly,bind-propagation=rprivate`;
      assert.match(await refuse("--mount", readonly, ...write), denied);
      const disabled = `${bind},bind-recursive=disabled`;
      assert.equal(await run("--mount", disabled, IMAGE, "ls", "/b/below"), "");
      assert.match(await refuse("--mount", disabled, IMAGE, "write", "/b/x", "y"), denied);
    } finally {
      host("umount", "-R", source);
    }
  });

  test("idmap: the files of a bind belong to the container's user, and the owner keeps them", async () => {
    const source = await folder("owned");
    await chown(source, 1234, 4321);
    await chmod(source, 0o700);
    await writeFile(join(source, "roots"), "");
    const user = ["-u", "33:34", "-v", `${source}:/d:idmap`];
    assert.match(await run(...user, IMAGE, "stat", "/d"), /uid=33 gid=34/);
    await run(...user, IMAGE, "write", "/d/new", "x");
    const made = await stat(join(source, "new"));
    assert.deepEqual([made.uid, made.gid], [1234, 4321]);
    // All others are who they are.
    const named = ["-v", `${source}:/d:idmap=33.34`];
    assert.match(await run(...named, IMAGE, "stat", "/d/roots"), /uid=0 gid=0/);
    assert.match(await run(...named, IMAGE, "stat", "/d/new"), /uid=33 gid=34/);
    const stranger = await refuse("-u", "1234:4321", ...named, IMAGE, "write", "/d/no", "x");
    assert.match(stranger, /Permission denied|Value too large/);
    const denied = await refuse(
      "-u",
      "33:34",
      "-v",
      `${source}:/d:idmap,ro`,
      IMAGE,
      "write",
      "/d/n",
      "x",
    );
    assert.match(denied, /Read-only file system/);
    await rm(source, { recursive: true });
  });

  test("idmap is refused where the file system cannot do it", async () => {
    const source = await folder("overlaid");
    const [lower, upper, work] = await Promise.all(["l", "u", "w"].map((n) => folder(`ov/${n}`)));
    host(
      "mount",
      "-t",
      "overlay",
      "none",
      "-o",
      `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
      source,
    );
    try {
      const stderr = await refuse("-v", `${source}:/d:idmap=33`, IMAGE);
      const words = `cannot map the owner of the files of ${source}: its file system does not support`;
      assert.ok(stderr.includes(words), stderr);
    } finally {
      host("umount", source);
    }
  });

  test("relabelling and consistency are accepted and change nothing without SELinux", async () => {
    const source = await folder("labels");
    await writeFile(join(source, "f"), "text\n");
    for (const mode of ["z", "Z", "cached", "delegated", "consistent", "ro,z", "Z,rw,cached"]) {
      assert.equal(await run("-v", `${source}:/l:${mode}`, IMAGE, "cat", "/l/f"), "text");
    }
  });

  test("a source is made where docker makes it, and a missing one is refused", async () => {
    const missing = join(daemon.folder, "made/deep");
    await run("-v", `${missing}:/m`, IMAGE, "true");
    assert.ok((await stat(missing)).isDirectory());
    // Also when it went away between two starts.
    const id = await ok("create", ...flags, "-v", `${missing}:/m`, IMAGE);
    await rm(missing, { recursive: true });
    await ok("start", "-a", id);
    await ok("rm", id);
    assert.ok((await stat(missing)).isDirectory());
  });
});
