// What programs do with dockerode, one scenario for each group of commands.

import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { extract, pack } from "tar-stream";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const LONG = { timeout: 120_000 };

describe("dockerode", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let docker: Docker;
  before(async () => {
    daemon = await startDaemon();
    docker = daemon.dockerode;
  });
  after(() => daemon.stop());

  const create = async (name: string, Cmd: string[], more: object = {}) =>
    await docker.createContainer({ name, Image: IMAGE, Cmd, ...more });

  /** Both sides of a stream that dockerd multiplexes. */
  async function parted(stream: NodeJS.ReadableStream): Promise<[string, string]> {
    const [out, err] = [new PassThrough(), new PassThrough()];
    docker.modem.demuxStream(stream, out, err);
    stream.on("end", () => {
      out.end();
      err.end();
    });
    return await Promise.all([text(out), text(err)]);
  }

  test("a container lives from create to remove", LONG, async () => {
    const c = await create("life", ["signals"]);
    await c.start();
    await c.pause();
    assert.equal((await c.inspect()).State.Paused, true);
    await c.unpause();
    await c.rename({ name: "renamed" });
    await c.update({ CpuShares: 256 });
    assert.equal((await c.inspect()).HostConfig.CpuShares, 256);
    assert.ok((await c.top()).Processes.length > 0);
    await c.restart({ t: 0 });
    // Process 1 ignores a signal that it does not handle yet: it says when it does.
    const said = async () => String(await c.logs({ stdout: true, follow: false }));
    while ((await said()).split("ready").length < 3) await delay(20);
    await c.stop({ t: 60 });
    assert.equal((await c.wait()).StatusCode, 0);
    await c.remove();
    await assert.rejects(c.inspect(), { statusCode: 404 });
  });

  test("exec is hijacked: input goes in, output comes out, the code stays", LONG, async () => {
    const c = await create("execs", ["sleep"]);
    await c.start();
    const exec = await c.exec({ Cmd: ["cat"], AttachStdin: true, AttachStdout: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    const answer = parted(stream);
    stream.end("typed\n");
    assert.deepEqual(await answer, ["typed\n", ""]);
    assert.equal((await exec.inspect()).ExitCode, 0);
    await c.remove({ force: true });
  });

  test("attach before the start, and the logs of both streams after it", LONG, async () => {
    const c = await create("both", ["seq", "echo one", "err two"], {
      AttachStdout: true,
      AttachStderr: true,
    });
    const stream = await c.attach({ stream: true, stdout: true, stderr: true });
    const answer = parted(stream);
    await c.start();
    assert.deepEqual(await answer, ["one\n", "two\n"]);
    const logs = await c.logs({ stdout: true, stderr: true, follow: true });
    assert.deepEqual(await parted(logs), ["one\n", "two\n"]);
    await c.remove();
  });

  test("stats come as a stream until it is closed", LONG, async () => {
    const c = await create("counted", ["sleep"]);
    await c.start();
    const stream = (await c.stats({ stream: true })) as Readable;
    const first = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    assert.ok(JSON.parse(String(first).split("\n")[0]!).memory_stats.usage > 0);
    stream.destroy();
    await c.remove({ force: true });
  });

  test("events are seen while they happen", LONG, async () => {
    const filters = JSON.stringify({ type: ["container"], container: ["seen"] });
    const stream = (await docker.getEvents({ filters })) as unknown as Readable;
    const actions: string[] = [];
    const destroyed = new Promise<void>((resolve) =>
      stream.on("data", (chunk) => {
        for (const line of String(chunk).trim().split("\n")) actions.push(JSON.parse(line).Action);
        if (actions.includes("destroy")) resolve();
      }),
    );
    const c = await create("seen", ["true"]);
    await c.start();
    await c.wait();
    await c.remove();
    await destroyed;
    stream.destroy();
    assert.deepEqual(actions, ["create", "start", "die", "destroy"]);
  });

  test("images are tagged, saved, removed, loaded and built", LONG, async () => {
    await docker.getImage(IMAGE).tag({ repo: "saved", tag: "v1" });
    const archive = await buffer((await docker.getImage("saved:v1").get()) as Readable);
    await docker.getImage("saved:v1").remove();
    await text((await docker.loadImage(archive as never)) as Readable);
    assert.deepEqual(
      (await docker.getImage("saved:v1").inspect()).RepoTags?.includes("saved:v1"),
      true,
    );
    const context = pack();
    context.entry({ name: "Dockerfile" }, `FROM ${IMAGE}\nLABEL a=b\n`);
    context.finalize();
    const built = await docker.buildImage(Readable.from(context), { t: "built" });
    await new Promise<void>((resolve, reject) =>
      docker.modem.followProgress(built, (error) => (error ? reject(error) : resolve())),
    );
    assert.deepEqual((await docker.getImage("built").inspect()).Config.Labels, { a: "b" });
    assert.ok((await docker.getImage("built").history()).length > 1);
    await docker.getImage("built").remove();
    await docker.getImage("saved:v1").remove();
  });

  test("archives go in and come out", LONG, async () => {
    const c = await create("files", ["true"]);
    const archive = pack();
    archive.entry({ name: "given" }, "content");
    archive.finalize();
    await c.putArchive(Readable.from(archive), { path: "/tmp" });
    const names: string[] = [];
    const reader = extract();
    reader.on("entry", (header, stream, next) => {
      names.push(header.name);
      stream.on("end", next).resume();
    });
    const out = await c.getArchive({ path: "/tmp/given" });
    await new Promise<void>((resolve, reject) =>
      out
        .pipe(reader)
        .on("finish", () => resolve())
        .on("error", reject),
    );
    assert.deepEqual(names, ["given"]);
    assert.ok((await buffer((await c.export()) as Readable)).length > 10_000);
    await c.remove();
  });

  test("networks and volumes are made, used, listed and pruned", LONG, async () => {
    const network = await docker.createNetwork({ Name: "dnet", Labels: { of: "dockerode" } });
    await docker.createVolume({ Name: "dvol", Labels: { of: "dockerode" } });
    const c = await create("user", ["sleep"], { HostConfig: { Binds: ["dvol:/data"] } });
    await c.start();
    await network.connect({ Container: c.id, EndpointConfig: { Aliases: ["me"] } });
    assert.ok(c.id in ((await network.inspect()).Containers ?? {}));
    await network.disconnect({ Container: c.id });
    await c.remove({ force: true });
    const filters = { label: ["of=dockerode"] };
    assert.deepEqual((await docker.pruneNetworks({ filters })).NetworksDeleted, ["dnet"]);
    const all = { label: ["of=dockerode"], all: ["true"] };
    assert.deepEqual((await docker.pruneVolumes({ filters: all })).VolumesDeleted, ["dvol"]);
    assert.deepEqual((await docker.listVolumes({ filters })).Volumes, []);
  });

  test("the system tells of itself", LONG, async () => {
    assert.equal((await docker.ping()).toString(), "OK");
    assert.equal((await docker.version()).Os, "linux");
    assert.equal((await docker.info()).OSType, "linux");
    assert.ok((await docker.df()).Images.length > 0);
  });
});
