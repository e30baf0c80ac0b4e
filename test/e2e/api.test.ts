// The HTTP API without docker's client: through dockerode, and raw on the socket as curl and other
// clients send it.

import assert from "node:assert/strict";
import { request } from "node:http";
import { PassThrough } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("the HTTP API", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());

  type Answer = { status: number; headers: NodeJS.Dict<string | string[]>; body: string };
  async function http(method: string, path: string, body?: unknown): Promise<Answer> {
    return await new Promise((resolve, reject) => {
      const data = body === undefined ? undefined : JSON.stringify(body);
      const headers = data === undefined ? {} : { "Content-Type": "application/json" };
      const call = request({ socketPath: daemon.socket, method, path, headers }, async (answer) => {
        const { statusCode: status = 0, headers } = answer;
        resolve({ status, headers, body: await text(answer) });
      });
      call.on("error", reject);
      call.end(data);
    });
  }

  test("_ping names the API's version and builder, for GET and HEAD", async () => {
    for (const method of ["GET", "HEAD"]) {
      const { status, headers, body } = await http(method, "/_ping");
      assert.equal(status, 200);
      assert.match(String(headers["api-version"]), /^1\.\d+$/);
      assert.equal(headers["ostype"], "linux");
      assert.equal(body, method === "GET" ? "OK" : "");
    }
  });

  test("versions from 1.24 to the newest are spoken, others refused with docker's words", async () => {
    const newest = String((await http("GET", "/_ping")).headers["api-version"]);
    for (const version of ["1.24", newest]) {
      assert.equal((await http("GET", `/v${version}/containers/json`)).status, 200);
    }
    const old = await http("GET", "/v1.12/containers/json");
    assert.equal(old.status, 400);
    assert.match(JSON.parse(old.body).message, /client version 1.12 is too old/);
    const future = await http("GET", "/v9.99/containers/json");
    assert.equal(future.status, 400);
    assert.match(JSON.parse(future.body).message, /client version 9.99 is too new/);
  });

  test("errors are JSON with a message and the right status", async () => {
    const missing = await http("GET", "/containers/nothing/json");
    assert.equal(missing.status, 404);
    assert.deepEqual(JSON.parse(missing.body), { message: "No such container: nothing" });
    assert.equal((await http("GET", "/no/such/page")).status, 404);
    const image = await http("POST", "/containers/create", { Image: "nothing" });
    assert.equal(image.status, 404);
    assert.match(JSON.parse(image.body).message, /No such image: nothing:latest/);
  });

  test("create, start, wait, logs and remove work in a row over HTTP", async () => {
    const created = await http("POST", "/containers/create?name=raw", {
      Image: IMAGE,
      Cmd: ["seq", "echo from-http", "exit 3"],
      HostConfig: { NetworkMode: "none" },
    });
    assert.equal(created.status, 201);
    const { Id } = JSON.parse(created.body);
    assert.equal((await http("POST", `/containers/${Id}/start`)).status, 204);
    const waited = await http("POST", `/containers/${Id}/wait`);
    assert.equal(JSON.parse(waited.body).StatusCode, 3);
    const logs = await http("GET", `/containers/${Id}/logs?stdout=1`);
    assert.equal(logs.body.slice(8), "from-http\n");
    assert.equal((await http("POST", `/containers/${Id}/stop`)).status, 304);
    assert.equal((await http("DELETE", `/containers/${Id}`)).status, 204);
    assert.equal((await http("GET", `/containers/${Id}/json`)).status, 404);
  });

  test("info and version say who answers and what it runs on", async () => {
    const info = JSON.parse((await http("GET", "/info")).body);
    assert.equal(info.OSType, "linux");
    assert.equal(typeof info.NCPU, "number");
    assert.ok(["1", "2"].includes(info.CgroupVersion));
    const version = JSON.parse((await http("GET", "/version")).body);
    assert.match(version.ApiVersion, /^1\.\d+$/);
    assert.equal(version.Os, "linux");
  });

  test("dockerode runs a container and demultiplexes its output", async () => {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const both = Promise.all([text(out), text(err)]);
    const [{ StatusCode }] = await daemon.dockerode.run(
      IMAGE,
      ["seq", "echo out", "err oops", "exit 2"],
      [out, err],
      { Tty: false, HostConfig: { NetworkMode: "none", AutoRemove: true } },
    );
    out.end();
    err.end();
    assert.equal(StatusCode, 2);
    assert.deepEqual(await both, ["out\n", "oops\n"]);
  });

  test("dockerode attaches with stdin on an upgraded connection", async () => {
    const container = await daemon.dockerode.createContainer({
      Image: IMAGE,
      Cmd: ["cat"],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
      HostConfig: { NetworkMode: "none" },
    });
    const flags = { stream: true, stdin: true, stdout: true, stderr: true };
    const stream = await container.attach({ ...flags, hijack: true });
    await container.start();
    stream.end("hello there\n");
    assert.equal((await buffer(stream)).subarray(8).toString(), "hello there\n");
    await container.wait();
    await container.remove();
  });

  test("dockerode attaches to the output alone on a plain connection", async () => {
    const container = await daemon.dockerode.createContainer({
      Image: IMAGE,
      Cmd: ["echo", "seen"],
      HostConfig: { NetworkMode: "none" },
    });
    const stream = await container.attach({ stream: true, stdout: true, stderr: true });
    await container.start();
    assert.equal((await buffer(stream)).subarray(8).toString(), "seen\n");
    await container.wait();
    await container.remove();
  });

  test("dockerode execs in a container and reads the exit code", async () => {
    const container = await daemon.dockerode.createContainer({
      Image: IMAGE,
      Cmd: ["sleep"],
      HostConfig: { NetworkMode: "none" },
    });
    await container.start();
    const command = { Cmd: ["seq", "echo done", "exit 4"], AttachStdout: true };
    const exec = await container.exec(command);
    const all = await buffer(await exec.start({}));
    assert.equal(all.subarray(8).toString(), "done\n");
    const state = await exec.inspect();
    assert.deepEqual([state.ExitCode, state.Running], [4, false]);
    await container.remove({ force: true });
  });

  test("dockerode saves, removes and loads an image", async () => {
    const image = daemon.dockerode.getImage(IMAGE);
    const before = (await image.inspect()).Id;
    const archive = await buffer(await image.get());
    await image.tag({ repo: "copy", tag: "1" });
    await daemon.dockerode.getImage("copy:1").remove();
    const source = new PassThrough();
    source.end(archive);
    await text(await daemon.dockerode.loadImage(source));
    assert.equal((await image.inspect()).Id, before);
  });

  test("dockerode follows events as they come", async () => {
    const filters = JSON.stringify({ type: ["container"], event: ["create", "destroy"] });
    const events = await daemon.dockerode.getEvents({ filters } as object);
    const seen: string[] = [];
    const enough = new Promise<void>((resolve) => {
      events.on("data", (chunk) => {
        for (const line of String(chunk).trim().split("\n")) seen.push(JSON.parse(line).Action);
        if (seen.length >= 2) resolve();
      });
    });
    const container = await daemon.dockerode.createContainer({ Image: IMAGE });
    await container.remove();
    await enough;
    assert.deepEqual(seen, ["create", "destroy"]);
    (events as unknown as { destroy(): void }).destroy();
  });
});
