// What checkpoint and restore have to be asked for, flag by flag: without the flag a container with
// such a thing is not checkpointed and goes on; with it, the thing works again after the restore.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import type { OciSpec } from "../../src/spec/index.ts";
import { payloadProgram } from "../payload/payload.ts";
import { cgroupValue } from "../support/container-cgroups.ts";
import { tracksMemory, whyNoCriu } from "../support/criu.ts";
import { until, within } from "../support/deadline.ts";
import { Frozen } from "../support/frozen.ts";
import { OciFixture } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

/** CRIU knows sockets of one network namespace, and of the host's no connections. */
const hostNetwork = ({ linux }: OciSpec): void => {
  linux!.namespaces = linux!.namespaces!.filter(({ type }) => type !== "network");
  delete linux!.sysctl;
};
const run = promisify(execFile);
const MEMORY = 8 << 20; // that of test/payload/frozen.c
const skip = process.getuid?.() === 0 ? whyNoCriu() : "needs root";

describe("flags of checkpoint and restore", { skip }, () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci?.[Symbol.asyncDispose]());

  /** Without the flags it is not frozen and goes on; what CRIU says of it. */
  async function refusedWithout(frozen: Frozen): Promise<string> {
    const place = ["--image-path", oci.path(`refused-${frozen.id}`)];
    const { code, stderr } = await oci.call("checkpoint", ...place, frozen.id);
    assert.equal(code, 1);
    await frozen.goesOn();
    return stderr;
  }

  const inKernel = async (pid: number, file: string) =>
    await readFile(`/proc/${pid}/${file}`, "utf8");

  test(`a TCP connection within the container lives on ${proves("runc-cmd", "checkpoint --tcp-established", "restore --tcp-established")}`, async () => {
    await using frozen = await Frozen.start(oci, ["tcp"]);
    assert.match(await refusedWithout(frozen), /criu failed: .*[Cc]onnected TCP socket/);
    const images = await frozen.dump("--tcp-established");
    await frozen.restore(images, "--tcp-established");
    await frozen.goesOn();
    // 01: established; 0FA0: port 4000.
    assert.match(await inKernel(await frozen.pid(), "net/tcp"), /:0FA0 \S+ 01 /);
  });

  test(`a connection that nobody has taken yet is left out ${proves("runc-cmd", "checkpoint --tcp-skip-in-flight")}`, async () => {
    await using frozen = await Frozen.start(oci, ["listen"]);
    const pid = await frozen.pid();
    // The queue of the listening socket: its connection is not of the container's processes.
    const client = spawn("nsenter", [
      ...[`--net=/proc/${pid}/ns/net`, "--", await payloadProgram()],
      ...["connect", "tcp", "127.0.0.1", "4000", "600000"],
    ]);
    try {
      const waiting = async () => /:0FA0 \S+ 01 /.test(await inKernel(pid, "net/tcp"));
      await until("the connection", waiting);
      assert.match(await refusedWithout(frozen), /In-flight connection/);
      const images = await frozen.dump("--tcp-skip-in-flight");
      await frozen.restore(images);
      await frozen.goesOn();
      // 0A: listening.
      assert.match(await inKernel(await frozen.pid(), "net/tcp"), /:0FA0 \S+ 0A /);
    } finally {
      client.kill();
      await once(client, "close");
    }
  });

  test(`a socket outside is sent to again ${proves("runc-cmd", "checkpoint --ext-unix-sk", "restore --ext-unix-sk")}`, async () => {
    // CRIU connects to the name that it was bound to.
    const sink = spawn("chroot", [oci.rootfs, "/bin/datagrams", "/outside"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const lines = createInterface({ input: sink.stdout });
      await once(lines, "line");
      await using frozen = await Frozen.start(oci, ["datagram", "/outside"], hostNetwork);
      assert.match(await refusedWithout(frozen), /[Ee]xternal socket is used/);
      const images = await frozen.dump("--ext-unix-sk");
      await frozen.restore(images, "--ext-unix-sk");
      await within(() => "a datagram of the restored container", once(lines, "line"));
      await frozen.goesOn();
    } finally {
      sink.kill();
      await once(sink, "close");
    }
  });

  test(`a lock is held again ${proves("runc-cmd", "checkpoint --file-locks", "restore --file-locks")}`, async () => {
    await using frozen = await Frozen.start(oci, ["lock"]);
    assert.match(await refusedWithout(frozen), /Some file locks are hold/);
    const images = await frozen.dump("--file-locks");
    const { ino } = await stat(join(frozen.folder, "locked"));
    const isLocked = async () =>
      new RegExp(`FLOCK .* WRITE \\d+ [0-9a-f:]+:${ino} `).test(
        await readFile("/proc/locks", "utf8"),
      );
    assert.equal(await isLocked(), false);
    await frozen.restore(images, "--file-locks");
    await frozen.goesOn();
    assert.equal(await isLocked(), true);
  });

  test(`an open file that has lost its name has its other one ${proves("runc-cmd", "checkpoint --link-remap")}`, async () => {
    await using frozen = await Frozen.start(oci, ["renamed"]);
    assert.match(await refusedWithout(frozen), /link-remap/);
    const images = await frozen.dump("--link-remap");
    const other = join(frozen.folder, "second");
    await truncate(other, 0);
    await writeFile(other, Buffer.alloc(8));
    await frozen.restore(images);
    await frozen.goesOn();
    assert.ok((await readFile(other)).readBigUInt64LE() > 0n, "it writes to the same file");
    assert.deepEqual((await readdir(frozen.folder)).sort(), ["progress", "second"]);
  });

  test(`cgroups are those of the configuration, whatever they were ${proves("runc-cmd", "checkpoint --manage-cgroups-mode", "restore --manage-cgroups-mode")}`, async () => {
    await using frozen = await Frozen.start(oci, ["none"], (spec) => {
      spec.linux!.resources = { ...spec.linux!.resources, pids: { limit: 31 } };
    });
    const limit = async () =>
      await cgroupValue(await frozen.pid(), "pids", { v1: "pids.max", v2: "pids.max" });
    await oci.ok("update", "--pids-limit", "47", frozen.id);
    assert.equal(await limit(), "47");
    const images = await frozen.dump("--manage-cgroups-mode", "ignore");
    for (const mode of ["soft", "full", "strict"]) {
      const flags = ["--manage-cgroups-mode", mode, "--image-path", images];
      const { stderr } = await oci.call("restore", ...flags, "-b", frozen.bundle, frozen.id);
      assert.match(stderr, /cgroups are made from the configuration/);
    }
    await frozen.restore(images, "--manage-cgroups-mode", "ignore");
    assert.equal(await limit(), "31");
  });

  test(`a network namespace is empty again, one that is not its own is refused ${proves("runc-cmd", "checkpoint --empty-ns", "restore --empty-ns")}`, async () => {
    await using frozen = await Frozen.start(oci, ["none"]);
    const before = await readlink(`/proc/${await frozen.pid()}/ns/net`);
    const add = ["ip", "link", "add", "left", "type", "veth", "peer", "right"];
    await run("nsenter", [`--net=/proc/${await frozen.pid()}/ns/net`, "--", ...add]);
    const interfaces = async () => await inKernel(await frozen.pid(), "net/dev");
    assert.match(await interfaces(), /^\s*left:/m);
    const images = await frozen.dump("--empty-ns", "network");
    await frozen.restore(images, "--empty-ns", "network");
    assert.notEqual(await readlink(`/proc/${await frozen.pid()}/ns/net`), before);
    const names = [...(await interfaces()).matchAll(/^\s*(\S+):/gm)].map(([, name]) => name);
    assert.deepEqual(names, ["lo"]);
    await using other = await Frozen.start(oci, ["none"], hostNetwork);
    for (const [name, why] of [
      ["network", /no network namespace of its own/],
      ["pid", /namespace pid is not supported/],
    ] as const) {
      const { stderr } = await oci.call("checkpoint", "--empty-ns", name, other.id);
      assert.match(stderr, why);
    }
  });

  test(`pages leave the images as they come back ${proves("runc-cmd", "restore --auto-dedup")}`, async () => {
    await using frozen = await Frozen.start(oci, ["memory"]);
    const images = await frozen.dump();
    const pages = join(images, "pages-1.img");
    const before = await stat(pages);
    assert.ok(before.blocks * 512 > MEMORY);
    await frozen.restore(images, "--auto-dedup");
    await frozen.goesOn();
    const after = await stat(pages);
    assert.equal(after.size, before.size);
    assert.ok(after.blocks < before.blocks / 4, `${after.blocks} of ${before.blocks} blocks`);
  });

  test(`memory goes to a server of pages instead of the folder ${proves("runc-cmd", "checkpoint --page-server")}`, async () => {
    // The loopback of another container: its port is nobody else's.
    await using host = await Frozen.start(oci, ["none"]);
    await using frozen = await Frozen.start(oci, ["memory"]);
    const folder = oci.path("served");
    await mkdir(folder);
    const netns = `/proc/${await host.pid()}/ns/net`;
    const words = ["--images-dir", folder, "--address", "127.0.0.1", "--port", "4100"];
    const flags = [`--net=${netns}`, "--", "criu", "page-server", ...words];
    const server = spawn("nsenter", flags, { stdio: "ignore" });
    const ended = once(server, "exit");
    try {
      const pid = await host.pid();
      const listens = async () => /:1004 \S+ 0A /.test(await inKernel(pid, "net/tcp"));
      await until("the server of pages", listens);
      oci.netns = netns;
      const images = await frozen.dump("--page-server", "127.0.0.1:4100");
      oci.netns = "";
      assert.deepEqual(await within(() => "its end", ended), [0, null]);
      assert.ok(!existsSync(join(images, "pages-1.img")));
      const served = (await readdir(folder)).filter((name) => /^pages-\d+\.img$/.test(name));
      assert.equal(served.length, 1);
      assert.ok((await stat(join(folder, served[0]!))).size > MEMORY);
      for (const name of await readdir(folder)) {
        if (/^pag/.test(name)) await rename(join(folder, name), join(images, name));
      }
      await frozen.restore(images);
      await frozen.goesOn();
    } finally {
      oci.netns = "";
      server.kill();
    }
  });

  test(`memory is written ahead, and only what has changed since ${proves("runc-cmd", "checkpoint --pre-dump", "checkpoint --parent-path", "checkpoint --auto-dedup")}`, async () => {
    await using frozen = await Frozen.start(oci, ["memory"]);
    const place = (name: string) => oci.path(`${frozen.id}-${name}`);
    const first = ["--image-path", place("first"), "--pre-dump"];
    if (!tracksMemory()) {
      const { code, stderr } = await oci.call("checkpoint", ...first, frozen.id);
      assert.equal(code, 1);
      assert.match(stderr, /criu failed: .*(track|dirty)/i);
      await frozen.goesOn();
      return;
    }
    await oci.ok("checkpoint", ...first, frozen.id);
    await frozen.goesOn();
    const ahead = await stat(join(place("first"), "pages-1.img"));
    assert.ok(ahead.size > MEMORY);
    const images = await frozen.dump("--parent-path", `../${frozen.id}-first`, "--auto-dedup");
    assert.ok((await stat(join(images, "pages-1.img"))).size < MEMORY / 4);
    const left = await stat(join(place("first"), "pages-1.img"));
    assert.ok(left.blocks < ahead.blocks, "what came again was freed");
    await frozen.restore(images);
    await frozen.goesOn();
  });
});
