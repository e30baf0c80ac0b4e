// Escapes by paths: images and volumes whose names lead elsewhere, and names that are swapped while
// somebody looks them up. Whatever a start, a copy or an import does then, the host's folder and
// the engine's own stay as they are.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type Docker from "dockerode";
import { whyNoDaemon } from "../e2e/harness.ts";
import { pack, payloadRootfs } from "../payload/payload.ts";
import { rawTar } from "../support/raw-tar.ts";
import { KINDS, Prison, SECRET } from "./prison.ts";
import { securityProgram } from "./programs.ts";

const STARTS = 12;
/** Where the runtime mounts, makes or writes something in every container, or on request. */
const PLACES = [
  ...["proc", "sys", "dev", "dev/shm", "dev/null", "dev/console", "dev/pts", "sys/fs/cgroup"],
  ...["etc", "etc/hosts", "etc/hostname", "etc/resolv.conf", "sbin/docker-init", "job", "tmpfs"],
];

describe("escapes by paths", { skip: whyNoDaemon() }, () => {
  let prison: Prison;
  before(async () => {
    prison = await Prison.make();
  });
  after(() => prison?.[Symbol.asyncDispose]());

  const made = new Set<string>();
  /** The payload's root with one place being a link. */
  async function withLink(place: string, linkname: string): Promise<string> {
    const target = linkname.replaceAll(/[^a-z]+/g, "-").slice(0, 40);
    const image = `link-${place.replaceAll("/", "-")}-to${target}0:latest`.toLowerCase();
    if (made.has(image)) return image;
    made.add(image);
    const content = await readFile(await securityProgram("attack"));
    const parents = place.split("/").slice(0, -1);
    const folders = parents.map((_, at) => parents.slice(0, at + 1).join("/"));
    const whole = await payloadRootfs([
      { type: "file", name: "bin/attack", mode: 0o755, content },
      ...folders.map((name) => ({ type: "directory" as const, name })),
      { type: "symlink", name: place, linkname },
    ]);
    await prison.import(image, whole);
    return image;
  }

  const demanding: Docker.HostConfig = {
    Init: true,
    Tmpfs: { "/tmpfs/inner": "" },
    Mounts: [{ Type: "tmpfs", Source: "", Target: "/job/tmp" }],
  };

  for (const [kind, host] of KINDS) {
    test(`an image's links where the runtime mounts lead nowhere, in ${kind}`, async () => {
      let started = 0;
      const targets = [prison.outside, `../../../../../../..${prison.outside}`];
      for (const [at, place] of PLACES.entries()) {
        const Image = await withLink(place, targets[at % 2]!);
        const config = { Image, WorkingDir: "/job/made/here", Tty: true };
        const made = await prison.run(["true"], { ...demanding, ...host }, config);
        if (made.code === 0) started++;
        await prison.untouched();
      }
      // What the image's links lead to is made inside its root: most of them do start.
      assert.ok(started > PLACES.length / 2, `only ${started} were started`);
    });
  }

  test("an image's links into /proc and to the root are no way around a mount", async () => {
    for (const place of ["etc/hosts", "job", "tmpfs"]) {
      for (const target of ["/proc/self/attr/exec", "/proc/self/root", "/"]) {
        const Image = await withLink(place, target);
        await prison.run(["true"], demanding, { Image, WorkingDir: "/job/made" });
        await prison.untouched();
      }
    }
    // The masks are where they belong, whatever the links were.
    const Image = await withLink("proc", "/tmp");
    const masked = await prison.run(["attack", "reads", "/proc/keys"], {}, { Image });
    if (masked.code === 0) assert.deepEqual(masked.attempts, [["/proc/keys", "empty"]]);
  });

  test("a path of an image's volume that climbs brings nothing of the host", async () => {
    const paths = [
      `/../../../../../../../..${prison.outside}`,
      `/volume/../../../../../../..${prison.outside}`,
    ];
    for (const path of paths) {
      const image = "volume:latest";
      await prison.import(image, await payloadRootfs(), `VOLUME ["${path}"]`);
      const made = await prison.create(["ls", "/"], {}, { Image: image }).catch(() => undefined);
      if (made === undefined) continue;
      const { Mounts } = await made.inspect();
      for (const { Name } of Mounts) {
        const Binds = [`${Name}:/looked`];
        const seen = await prison.run(["cat", "/looked/secret"], { Binds });
        assert.ok(!seen.output.includes(SECRET), "a file of the host is in the volume");
      }
      await made.remove({ force: true, v: true });
    }
    await prison.untouched();
  });

  test("targets in a volume that another container swaps end inside, or not at all", async () => {
    await prison.docker.createVolume({ Name: "shared" });
    const Binds = ["shared:/shared"];
    const tree = await pack([
      { type: "directory", name: "real" },
      { type: "directory", name: "real/inner" },
      { type: "symlink", name: "link", linkname: prison.outside },
    ]);
    const swapper = await prison.create(["attack", "swap", "/shared/real", "/shared/link"], {
      Binds,
    });
    await swapper.putArchive(tree, { path: "/shared" });
    await swapper.start();
    let started = 0;
    for (let i = 0; i < STARTS; i++) {
      const Mounts: Docker.MountSettings[] = [
        { Type: "tmpfs", Source: "", Target: `/shared/real/made-${i}` },
        { Type: "volume", Source: "", Target: "/shared/real/folder" },
        { Type: "bind", Source: "/etc/hostname", Target: "/shared/real/secret" },
      ];
      const WorkingDir = `/shared/real/work-${i}`;
      const made = await prison.run(["true"], { Binds, Mounts }, { WorkingDir });
      if (made.code === 0) started++;
      await prison
        .run(["cat", "/part/secret"], {
          Mounts: [
            {
              Type: "volume",
              Source: "shared",
              Target: "/part",
              VolumeOptions: {
                Subpath: "real",
              } as unknown as Docker.MountSettings["VolumeOptions"],
            } as Docker.MountSettings,
          ],
        })
        .then(({ output }) => assert.ok(!output.includes(SECRET), "the subpath led outside"));
      await prison.untouched();
    }
    assert.ok(started > 0, "not one of them was started");
    await swapper.remove({ force: true });
    await prison.docker.getVolume("shared").remove();
  });

  test("a volume over /dev with links for its nodes writes to nothing of the kernel", async () => {
    const before = await readFile("/proc/sys/kernel/core_pattern", "utf8");
    for (const [kind, host] of KINDS) {
      const Name = `devices-${kind.length}`;
      await prison.docker.createVolume({ Name });
      const Binds = [`${Name}:/dev`];
      const filler = await prison.create(["true"], { Binds: [`${Name}:/fill`] });
      const names = ["null", "console", "pts", "ptmx", "shm", "mqueue", "stdin"];
      const links = names.map((name) => ({
        type: "symlink" as const,
        name,
        linkname: "/proc/sys/kernel/core_pattern",
      }));
      await filler.putArchive(await pack(links), { path: "/fill" });
      for (const Tty of [false, true]) await prison.run(["true"], { Binds, ...host }, { Tty });
      await filler.remove({ force: true });
      await prison.docker.getVolume(Name).remove();
    }
    assert.equal(await readFile("/proc/sys/kernel/core_pattern", "utf8"), before);
    await prison.untouched();
  });

  test("no program or library of a container is run by those who copy and unpack", async () => {
    // Each would leave a mark: "append" of the payload, which writes its arguments.
    const content = "#!/bin/append /marked";
    const names = ["xz", "unxz", "gzip", "unpigz", "zstd", "bzip2", "tar", "docker-untar"];
    const programs = names.flatMap((name) =>
      ["bin", "usr/bin", "usr/local/bin"].map((folder) => ({
        type: "file" as const,
        name: `${folder}/${name}`,
        mode: 0o755,
        content,
      })),
    );
    const libraries = ["lib/libnss_files.so.2", "etc/nsswitch.conf", "etc/ld.so.preload"];
    const rootfs = await payloadRootfs([
      ...["usr", "usr/bin", "usr/local", "usr/local/bin", "lib"].map((name) => ({
        type: "directory" as const,
        name,
      })),
      ...programs,
      ...libraries.map((name) => ({ type: "file" as const, name, content: "/bin/xz\n" })),
    ]);
    await prison.import("programs:latest", rootfs);
    const container = await prison.start(["sleep"], {}, { Image: "programs:latest" });
    const tree = await pack([{ type: "file", name: "copied", content: "x" }]);
    const xz = Buffer.from("fd377a585a000004e6d6b446", "hex");
    for (const archive of [tree, gzipSync(tree), zstdCompressSync(tree), xz, Buffer.from("BZh9")]) {
      await container.putArchive(archive, { path: "/tmp" }).catch(() => {}); // some are no archives
    }
    await buffer((await container.getArchive({ path: "/bin" })) as unknown as PassThrough);
    await prison.exec(container, ["id"], { User: "app" });
    const marked = await prison.exec(container, ["cat", "/marked"]);
    assert.match(marked.output, /No such file/);
    const proof = await prison.exec(container, ["/bin/xz", "ran"]);
    assert.equal(proof.code, 0, "the programs of this test do not run at all");
    await container.remove({ force: true });
  });

  test("what stands for /etc/passwd is read only where it is a file, and to a limit", async () => {
    const nodes = ["fifo", "c 1 5", "c 10 130", "b 253 0", "folder", "link", "sparse"];
    for (const node of nodes) {
      const container = await prison.start(["sleep"]);
      const [type, major, minor] = node.split(" ");
      const entry = { name: "passwd", type: "6", mode: 0o644, major: 0, minor: 0 };
      if (major !== undefined) {
        Object.assign(entry, { type: type === "c" ? "3" : "4" });
        Object.assign(entry, { major: Number(major), minor: Number(minor) });
      } else if (node === "folder") entry.type = "5";
      const archive =
        node === "link"
          ? rawTar({ name: "passwd", type: "2", link: "/proc/kmsg" })
          : node === "sparse"
            ? rawTar({ name: "passwd", content: "x:x:1:1::/:\n".repeat(400_000) })
            : rawTar(entry);
      await prison.exec(container, ["rm", "/etc/passwd"]);
      await container.putArchive(archive, { path: "/etc" });
      const entered = await prison.exec(container, ["id"], { User: "nobody-like-it" });
      assert.notEqual(entered.code, 0, `${node}: ${entered.output}`);
      await container.stop({ t: 0 });
      await container.remove({ force: true });
    }
  });

  test("archives of images whose names climb are refused, and nothing is written", async () => {
    const config = JSON.stringify({ rootfs: { type: "layers", diff_ids: [] } });
    const climb = `../../../../../../../../..${prison.outside}`;
    const manifest = (more: object) => JSON.stringify([{ Config: "c.json", Layers: [], ...more }]);
    const archives = [
      rawTar(
        { name: `${climb}/evil`, content: "x" },
        { name: "c.json", content: config },
        { name: "manifest.json", content: manifest({ RepoTags: ["evil:latest"] }) },
      ),
      rawTar({ name: "manifest.json", content: manifest({ Config: `${climb}/secret` }) }),
      rawTar(
        { name: "c.json", content: config },
        { name: "manifest.json", content: manifest({ Layers: [`${climb}/secret`] }) },
      ),
      rawTar(
        { name: "layer.tar", type: "2", link: `${prison.outside}/secret` },
        { name: "c.json", content: config },
        { name: "manifest.json", content: manifest({ Layers: ["layer.tar"] }) },
      ),
      rawTar(
        { name: "c.json", content: config },
        { name: "manifest.json", content: manifest({ RepoTags: ["../../evil:latest"] }) },
      ),
    ];
    for (const archive of archives) {
      const from = new PassThrough();
      from.end(archive);
      const answer = await prison.docker
        .loadImage(from)
        .then(
          async (stream) => (await buffer(stream as unknown as PassThrough)).toString(),
          String,
        );
      assert.ok(!answer.includes(SECRET), answer);
    }
    await prison.untouched();
  });

  test("layers that climb, delete above them, or go through links stay in their root", async () => {
    const layers = [
      rawTar({ name: `../../../../../../../../..${prison.outside}/evil`, content: "x" }),
      rawTar({ name: ".wh...", content: "" }, { name: "folder/.wh..", content: "" }),
      rawTar(
        { name: "out", type: "2", link: prison.outside },
        { name: "out/evil", content: "x" },
        { name: "out/.wh.secret", content: "" },
        { name: "out/.wh..wh..opq", content: "" },
      ),
      rawTar({ name: "hard", type: "1", link: `../../../../../../../..${prison.outside}/secret` }),
      rawTar(
        { name: "out", type: "2", link: prison.outside },
        { name: "hard", type: "1", link: "out/secret" },
        { name: "hard", content: "overwritten" },
      ),
    ];
    for (const [at, layer] of layers.entries()) {
      const image = `layer-${at}:latest`;
      await prison.import(image, layer).catch(() => {}); // most are refused
      await prison.untouched();
    }
  });
});
