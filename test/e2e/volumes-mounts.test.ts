// Volumes that are mounts, through docker's own client: mounted by their first user, unmounted by
// their last, whatever happens to the daemon in between; and the words when they cannot be.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("volumes that are mounts", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const run = (...args: string[]) => ok("run", "--rm", "--network", "none", ...args);
  const start = (...args: string[]) => ok("run", "-d", "--network", "none", ...args);
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(args);
    assert.notEqual(code, 0, args.join(" "));
    return stderr;
  };
  /** Mounts beneath the daemon's volumes, as its host has them. */
  const mounted = async (): Promise<string[]> => {
    const text = await readFile(`/proc/${daemon.holderPid}/mountinfo`, "utf8");
    const folder = join(daemon.folder, "data/volumes/");
    return text
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((path) => path.startsWith(folder))
      .map((path) => path.slice(folder.length));
  };
  const volume = async (name: string, options: Record<string, string>) => {
    const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    return await ok("volume", "create", ...flags, name);
  };
  const tmpfs = (name: string, o = "size=1m") =>
    volume(name, { type: "tmpfs", device: "tmpfs", o });

  test("a tmpfs is mounted while somebody uses it, once, and gone with the last", async () => {
    await tmpfs("fast", "size=1m,uid=1000");
    assert.deepEqual(await mounted(), []);
    const first = await start("-v", "fast:/f", IMAGE, "sleep");
    const second = await start("-v", "fast:/f", IMAGE, "sleep");
    assert.deepEqual(await mounted(), ["fast/_data"]);
    await ok("exec", first, "write", "/f/note", "shared");
    assert.equal(await ok("exec", second, "cat", "/f/note"), "shared");
    assert.match(await ok("exec", second, "stat", "/f"), /uid=1000/);
    const info = await ok("exec", second, "cat", "/proc/self/mountinfo");
    assert.match(info, / \/f .* - tmpfs tmpfs rw,size=1024k/);
    assert.match(await refuse("volume", "rm", "fast"), /remove fast: volume is in use - \[/);
    await ok("rm", "-f", first);
    assert.deepEqual(await mounted(), ["fast/_data"]);
    await ok("rm", "-f", second);
    assert.deepEqual(await mounted(), []);
    await ok("volume", "rm", "fast");
  });

  test("a fresh tmpfs has what the image holds there, each time", async () => {
    await tmpfs("seeded");
    for (let i = 0; i < 2; i++) {
      assert.equal(await run("-v", "seeded:/data", IMAGE, "cat", "/data/seed"), "seed");
    }
    await ok("volume", "rm", "seeded");
  });

  test("a folder of the host is bound, read-only where it is asked for, and never deleted", async () => {
    const folder = join(daemon.folder, "bound");
    await mkdir(folder);
    await writeFile(join(folder, "kept"), "kept\n");
    await volume("rw", { type: "none", device: folder, o: "bind" });
    await volume("ro", { type: "none", device: folder, o: "bind,ro" });
    assert.equal(await run("-v", "rw:/b", IMAGE, "cat", "/b/kept"), "kept");
    await run("-v", "rw:/b", IMAGE, "write", "/b/new", "x");
    const denied = await refuse(
      ...["run", "--rm", "--network", "none", "-v", "ro:/b", IMAGE, "write", "/b/no", "x"],
    );
    assert.match(denied, /Read-only file system/);
    await ok("volume", "rm", "rw", "ro");
    assert.equal(await readFile(join(folder, "kept"), "utf8"), "kept\n");
    assert.equal(await readFile(join(folder, "new"), "utf8"), "x\n");
    assert.deepEqual(await mounted(), []);
  });

  test("a mount that somebody left in a volume keeps its content when the volume goes", async () => {
    const folder = join(daemon.folder, "foreign");
    await mkdir(folder);
    await writeFile(join(folder, "kept"), "kept\n");
    await ok("volume", "create", "odd");
    const place = join(daemon.folder, "data/volumes/odd/_data");
    const host = (...args: string[]) =>
      execFileSync("nsenter", ["-t", String(daemon.holderPid), "-m", "--", ...args]);
    host("mount", "--bind", folder, place);
    assert.match(await refuse("volume", "rm", "odd"), /busy|EBUSY/i);
    assert.equal(await readFile(join(folder, "kept"), "utf8"), "kept\n");
    host("umount", place);
    await ok("volume", "rm", "odd");
    assert.equal(await readFile(join(folder, "kept"), "utf8"), "kept\n");
  });

  test("what cannot be mounted is told in docker's words, with the reason", async () => {
    const path = (name: string) => join(daemon.folder, "data/volumes", name, "_data");
    const missing = join(daemon.folder, "missing");
    const failures: [name: string, options: Record<string, string>, told: string][] = [
      [
        "gone",
        { type: "none", device: missing, o: "bind" },
        `mount ${missing}:${path("gone")}, flags: 0x1000: no such file or directory`,
      ],
      [
        "plain",
        { type: "ext4", device: "/etc/passwd", o: "ro,noatime" },
        `mount /etc/passwd:${path("plain")}, flags: 0x401: block device required (/etc/passwd is`,
      ],
      [
        "odd-fs",
        { type: "nosuchfs", device: "x" },
        `mount x:${path("odd-fs")}: no such device (this kernel does not know the file system nos`,
      ],
      [
        "odd-option",
        { type: "tmpfs", device: "tmpfs", o: "size=1m,nosuch=1" },
        `mount tmpfs:${path("odd-option")}, data: size=1m,nosuch=1: invalid argument (tmpfs: Unknown par`,
      ],
    ];
    for (const [name, options, told] of failures) {
      await volume(name, options);
      const stderr = await refuse("run", "--rm", "--network", "none", "-v", `${name}:/x`, IMAGE);
      const start = `error while mounting volume '${path(name)}': failed to mount local volume: `;
      assert.ok(stderr.includes(`${start}${told}`), stderr);
      await ok("volume", "rm", name);
    }
    await volume("secret", { type: "cifs", device: "//127.0.0.1/x", o: "password=sekret" });
    const stderr = await refuse("run", "--rm", "--network", "none", "-v", "secret:/x", IMAGE);
    assert.match(stderr, /password=\*{8}/);
    assert.ok(!stderr.includes("sekret"));
    await volume("nameless", { type: "nfs", device: ":/x", o: "addr=no.such.host.invalid" });
    assert.match(
      await refuse("run", "--rm", "--network", "none", "-v", "nameless:/x", IMAGE),
      /error resolving passed in network volume address: lookup no\.such\.host\.invalid/,
    );
    assert.deepEqual(await mounted(), []);
    assert.equal(await ok("ps", "-aq"), "");
    await ok("volume", "rm", "secret", "nameless");
  });

  test("an unknown driver is refused, and docker's client does not pull for it", async () => {
    const words = 'error looking up volume plugin nosuch: plugin "nosuch" not found';
    assert.ok((await refuse("volume", "create", "-d", "nosuch", "vol")).includes(`vol: ${words}`));
    const create = ["create", "--network", "none"];
    for (const flags of [
      ["-v", "vol:/x", "--volume-driver", "nosuch"],
      ["--mount", "type=volume,src=vol,dst=/x,volume-driver=nosuch"],
    ]) {
      const stderr = await refuse(...create, ...flags, IMAGE);
      assert.ok(stderr.includes(words) && !stderr.includes("Unable to find image"), stderr);
    }
    assert.equal(await ok("volume", "ls", "-q"), "");
  });

  test("a daemon that is killed finds its mounts, keeps those in use and takes away the rest", async () => {
    await tmpfs("used");
    await tmpfs("left");
    const user = await start("-v", "used:/u", IMAGE, "sleep");
    const leaver = await start("-v", "left:/l", IMAGE, "sleep");
    await ok("exec", user, "write", "/u/note", "alive");
    const leaverPid = Number(await ok("inspect", "-f", "{{.State.Pid}}", leaver));
    assert.deepEqual((await mounted()).sort(), ["left/_data", "used/_data"]);
    await daemon.kill9();
    // Its end is missed by the daemon.
    process.kill(leaverPid, "SIGKILL");
    await daemon.start();
    assert.deepEqual(await mounted(), ["used/_data"]);
    assert.equal(await run("-v", "used:/u", IMAGE, "cat", "/u/note"), "alive");
    await daemon.restart();
    assert.equal(await run("-v", "used:/u", IMAGE, "cat", "/u/note"), "alive");
    assert.deepEqual(await mounted(), ["used/_data"]);
    await ok("rm", "-f", user, leaver);
    assert.deepEqual(await mounted(), []);
    await ok("volume", "rm", "used", "left");
  });

  test("a daemon that is killed while containers come and go leaves no mount", async () => {
    await tmpfs("busy");
    for (let round = 0; round < 4; round++) {
      const attempts = Array.from({ length: 3 }, () =>
        daemon.client(["run", "--rm", "--network", "none", "-v", "busy:/b", IMAGE, "true"]),
      );
      // Any of them at any point of its life.
      await Promise.race(attempts);
      await daemon.kill9();
      await Promise.all(attempts);
      await daemon.start();
    }
    const ids = (await ok("ps", "-aq")).split("\n").filter(Boolean);
    if (ids.length > 0) await ok("rm", "-f", ...ids);
    assert.deepEqual(await mounted(), []);
    await ok("volume", "rm", "busy");
  });

  test("a start that fails leaves nothing mounted", async () => {
    await tmpfs("unlucky");
    for (const more of [["/nosuch-program"], ["/data/seed"]]) {
      await refuse("run", "--rm", "--network", "none", "-v", "unlucky:/u", IMAGE, ...more);
      assert.deepEqual(await mounted(), []);
    }
    await volume("broken", { type: "tmpfs", device: "tmpfs", o: "size=what" });
    await refuse("run", "--rm", "--network", "none", "-v", "unlucky:/u", "-v", "broken:/b", IMAGE);
    assert.deepEqual(await mounted(), []);
    assert.equal(await ok("ps", "-aq"), "");
    await ok("volume", "rm", "unlucky", "broken");
  });

  const whyNoLoop = (): string | false => {
    try {
      execFileSync("sh", ["-c", "command -v losetup mkfs.ext4 && losetup --find"]);
      return false;
    } catch {
      return "needs losetup, mkfs.ext4 and a free loop device";
    }
  };

  test("a device keeps what is written, and is read-only by o=ro", {
    skip: whyNoLoop(),
  }, async () => {
    const image = join(daemon.folder, "disk.img");
    await writeFile(image, "");
    await truncate(image, 8 << 20);
    execFileSync("mkfs.ext4", ["-q", image]);
    const device = execFileSync("losetup", ["--find", "--show", image], {
      encoding: "utf8",
    }).trim();
    try {
      await volume("disk", { type: "ext4", device });
      await run("-v", "disk:/d:nocopy", IMAGE, "write", "/d/note", "on disk");
      assert.equal(await run("-v", "disk:/d", IMAGE, "cat", "/d/note"), "on disk");
      await volume("disk-ro", { type: "ext4", device, o: "ro" });
      const args = ["run", "--rm", "--network", "none", "-v", "disk-ro:/d", IMAGE];
      assert.match(await refuse(...args, "write", "/d/x", "y"), /Read-only file system/);
      assert.deepEqual(await mounted(), []);
      await ok("volume", "rm", "disk", "disk-ro");
    } finally {
      execFileSync("losetup", ["--detach", device]);
    }
  });

  test("cp reaches into a volume of a container that does not run", async () => {
    const folder = join(daemon.folder, "copied");
    await mkdir(folder);
    await volume("reached", { type: "none", device: folder, o: "bind" });
    const id = await ok("create", "--network", "none", "-v", "reached:/r", IMAGE);
    const note = join(daemon.folder, "note");
    await writeFile(note, "by cp\n");
    await ok("cp", note, `${id}:/r/note`);
    assert.equal(await readFile(join(folder, "note"), "utf8"), "by cp\n");
    assert.deepEqual(await mounted(), []);
    await ok("rm", id);
    await ok("volume", "rm", "reached");
  });

  test("a restarted container has its volume mounted again", async () => {
    await tmpfs("again");
    const id = await start("-v", "again:/a", IMAGE, "sleep");
    await ok("restart", "-t", "0", id);
    assert.deepEqual(await mounted(), ["again/_data"]);
    await ok("stop", "-t", "0", id);
    assert.deepEqual(await mounted(), []);
    await ok("rm", id);
    await ok("volume", "rm", "again");
  });
});
