// Plugins of docker's v1 protocol, real HTTP servers on unix sockets, through docker's own client:
// volumes that a plugin keeps, and plugins that authorize what clients ask for.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { PluginServer, volumePlugin } from "../support/plugin-server.ts";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const DEADLINE_MS = 60_000;

async function eventually(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await delay(50);
  }
}

async function api(daemon: TestDaemon, method: string, path: string, body?: string) {
  const call = request({ socketPath: daemon.socket, method, path, agent: false });
  if (body !== undefined) call.setHeader("Content-Type", "application/json");
  call.end(body);
  const answer = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    call.once("response", resolve);
    call.once("error", reject);
  });
  const said = await text(answer);
  return { status: answer.statusCode, body: said === "" ? undefined : JSON.parse(said) };
}

describe("volumes of a plugin", { skip: whyNoDaemon() }, () => {
  let folder: string;
  let plugin: PluginServer;
  let daemon: TestDaemon;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-plugins-"));
    plugin = volumePlugin(join(folder, "sockets/store.sock"), join(folder, "store"));
    await plugin.start();
    const args = ["--plugin-socket-dir", join(folder, "sockets")];
    daemon = await startDaemon({ args: [...args, "--plugin-spec-dir", join(folder, "specs")] });
  });
  after(async () => {
    await daemon?.stop();
    await plugin?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const ok = (...args: string[]) => daemon.ok(...args);
  const run = (...args: string[]) => ok("run", "--network", "none", ...args);
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(args);
    assert.notEqual(code, 0, args.join(" "));
    return stderr.trim();
  };

  test("are made, listed, shown and removed by it", async () => {
    assert.equal(
      await ok("volume", "create", "-d", "store", "-o", "a=b", "--label", "x=y", "v1"),
      "v1",
    );
    assert.equal(plugin.count("VolumeDriver.Create", { Name: "v1" }), 1);
    const [shown] = JSON.parse(await ok("volume", "inspect", "v1"));
    assert.deepEqual(shown, {
      CreatedAt: "2026-01-02T03:04:05Z",
      Driver: "store",
      Labels: { x: "y" },
      Mountpoint: "",
      Name: "v1",
      Options: { a: "b" },
      Scope: "local",
      Status: { users: 0 },
    });
    assert.equal(await ok("volume", "ls", "-q", "-f", "driver=store"), "v1");
    assert.match(
      await refuse("volume", "create", "-d", "local", "v1"),
      /driver 'store' already has volume 'v1': volume name must be unique/,
    );
    assert.match(
      await refuse("volume", "create", "-d", "store", "-o", "fail=1", "v2"),
      /create v2: VolumeDriver.Create: disk on fire/,
    );
    assert.match(
      await refuse("volume", "create", "-d", "nosuch", "v2"),
      /error looking up volume plugin nosuch: plugin "nosuch" not found/,
    );
    assert.match(await ok("info", "-f", "{{json .Plugins.Volume}}"), /"store"/);
    await ok("volume", "rm", "v1");
    assert.equal(plugin.count("VolumeDriver.Remove", { Name: "v1" }), 1);
  });

  test("are mounted for each container, and found where the plugin alone knows them", async () => {
    await run("--rm", "-v", "data:/x", "--volume-driver", "store", IMAGE, "write", "/x/f", "kept");
    assert.equal(await readFile(join(folder, "store/data/f"), "utf8"), "kept\n");
    const mounts = plugin.count("VolumeDriver.Mount", { Name: "data" });
    assert.equal(plugin.count("VolumeDriver.Unmount", { Name: "data" }), mounts);
    for (const name of ["one", "two"])
      await run("-d", "--name", name, "-v", "data:/x", IMAGE, "sleep", "1000");
    const [mount] = JSON.parse(await ok("inspect", "-f", "{{json .Mounts}}", "one"));
    assert.equal(mount.Driver, "store");
    assert.equal(mount.Source, join(folder, "store/data"));
    assert.match(await refuse("volume", "rm", "data"), /volume is in use/);
    await ok("rm", "-f", "one", "two");
    assert.equal(JSON.parse(await ok("volume", "inspect", "data"))[0].Status.users, 0);
    // Made by somebody else, at the plugin.
    plugin.answers["VolumeDriver.Create"]?.({ Name: "foreign" });
    assert.match(await ok("volume", "ls", "-q"), /^foreign$/m);
    await run("--rm", "-v", "foreign:/x", IMAGE, "write", "/x/f", "1");
    assert.equal(await readFile(join(folder, "store/foreign/f"), "utf8"), "1\n");
    await ok("volume", "rm", "data", "foreign");
  });

  test("stay mounted while the daemon is away, and are let go of afterwards", async () => {
    await run(
      "-d",
      "--name",
      "long",
      "-v",
      "v3:/x",
      "--volume-driver",
      "store",
      IMAGE,
      "sleep",
      "1000",
    );
    const id = await ok("inspect", "-f", "{{.Id}}", "long");
    await daemon.restart("SIGKILL");
    assert.equal(JSON.parse(await ok("volume", "inspect", "v3"))[0].Status.users, 1);
    await ok("stop", "-t", "0", "long");
    await eventually("unmounted", () => plugin.count("VolumeDriver.Unmount", { ID: id }) === 1);
    await ok("start", "long");
    await ok("rm", "-f", "long");
    assert.equal(JSON.parse(await ok("volume", "inspect", "v3"))[0].Status.users, 0);
    await ok("volume", "rm", "v3");
  });

  test("of a plugin that is down are told of, and keep no container from ending", async () => {
    await run(
      "-d",
      "--name",
      "held",
      "-v",
      "v4:/x",
      "--volume-driver",
      "store",
      IMAGE,
      "sleep",
      "1000",
    );
    await plugin.stop({ leaveSocket: true });
    try {
      const { body } = await api(daemon, "GET", "/volumes");
      assert.ok(body.Volumes.some(({ Name }: { Name: string }) => Name === "v4"));
      assert.match(body.Warnings[0], /^list store: .*does not answer: connection refused$/);
      assert.match(
        await refuse("volume", "create", "-d", "store", "v5"),
        /create v5: error looking up volume plugin store: .*connection refused/,
      );
      await ok("stop", "-t", "0", "held");
      assert.match(
        await refuse("start", "held"),
        /error while mounting volume 'v4': .*store\.sock/,
      );
      await daemon.restart("SIGKILL");
    } finally {
      await plugin.start();
    }
    // What the plugin could not be told it is told now, by the next daemon.
    await ok("start", "held");
    await ok("rm", "-f", "held");
    assert.equal(JSON.parse(await ok("volume", "inspect", "v4"))[0].Status.users, 0);
    await ok("volume", "rm", "v4");
  });

  test("of another address are found by its description", async () => {
    const other = volumePlugin(join(folder, "elsewhere/x.sock"), join(folder, "other"), {
      scope: "global",
    });
    await other.start();
    try {
      const spec = join(folder, "specs");
      await mkdir(spec, { recursive: true });
      await writeFile(join(spec, "far.spec"), `unix://${other.socket}\n`);
      await ok("volume", "create", "-d", "far", "v6");
      assert.equal(await ok("volume", "inspect", "-f", "{{.Scope}}", "v6"), "global");
      await ok("volume", "rm", "v6");
    } finally {
      await other.stop();
    }
  });

  test("drivers for networks and addresses are refused, with the reason", async () => {
    const net = new PluginServer(join(folder, "sockets/net.sock"), {
      "Plugin.Activate": () => ({ Implements: ["NetworkDriver", "IpamDriver"] }),
    });
    await net.start();
    try {
      const why = /network plugins are not supported/;
      assert.match(await refuse("network", "create", "-d", "net", "n"), why);
      assert.match(await refuse("network", "create", "--ipam-driver", "net", "n"), why);
      assert.match(
        await refuse("network", "create", "-d", "nosuch", "n"),
        /plugin "nosuch" not found/,
      );
    } finally {
      await net.stop();
    }
  });
});

describe("authorization plugins", { skip: whyNoDaemon() }, () => {
  let folder: string;
  let config: string;
  let first: PluginServer;
  let second: PluginServer;
  let daemon: TestDaemon;
  /** Decides for the second; the first allows everything. */
  let decide: (method: string, body: Record<string, unknown>) => object;
  const allow = () => ({ Allow: true });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-authz-"));
    config = join(folder, "daemon.json");
    decide = allow;
    const activate = () => ({ Implements: ["authz"] });
    first = new PluginServer(join(folder, "first.sock"), {
      "Plugin.Activate": activate,
      "AuthZPlugin.AuthZReq": allow,
      "AuthZPlugin.AuthZRes": allow,
    });
    second = new PluginServer(join(folder, "second.sock"), {
      "Plugin.Activate": activate,
      "AuthZPlugin.AuthZReq": (body) => decide("AuthZReq", body),
      "AuthZPlugin.AuthZRes": (body) => decide("AuthZRes", body),
    });
    await first.start();
    await second.start();
    await writeFile(config, JSON.stringify({ "authorization-plugins": ["first", "second"] }));
    daemon = await startDaemon({ args: ["--plugin-socket-dir", folder, "--config-file", config] });
  });
  after(async () => {
    decide = allow;
    await daemon?.stop();
    await first?.stop();
    await second?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const reload = async (plugins: string[]): Promise<void> => {
    await writeFile(config, JSON.stringify({ "authorization-plugins": plugins }));
    process.kill(await daemon.pid(), "SIGHUP");
  };

  test("see every request and every answer, in order, without credentials", async () => {
    first.calls.length = 0;
    second.calls.length = 0;
    const output = await daemon.ok("run", "--rm", "--network", "none", IMAGE, "echo", "hello");
    assert.equal(output, "hello");
    const uris = (plugin: PluginServer): string[] =>
      plugin.calls.map(({ method, body }) => `${method} ${body["RequestMethod"]}`);
    assert.deepEqual(uris(first), uris(second));
    const made = first.calls.find(
      ({ method, body }) =>
        method === "AuthZPlugin.AuthZReq" &&
        /\/containers\/create/.test(String(body["RequestUri"])),
    );
    const sent = JSON.parse(Buffer.from(String(made?.body["RequestBody"]), "base64").toString());
    assert.deepEqual(sent.Cmd, ["echo", "hello"]);
    assert.ok(first.calls.some(({ body }) => body["ResponseStatusCode"] === 201));
    // Attach takes the connection over: it is asked for, too.
    assert.ok(first.calls.some(({ body }) => /\/attach/.test(String(body["RequestUri"]))));
    const headers = first.calls.flatMap(({ body }) =>
      Object.keys(body["RequestHeaders"] as object),
    );
    assert.ok(!headers.some((name) => /^(x-registry-(auth|config)|authorization)$/i.test(name)));
  });

  test("refuse requests and answers in docker's words", async () => {
    decide = (method, body) =>
      method === "AuthZReq" && /\/containers\/create/.test(String(body["RequestUri"]))
        ? { Allow: false, Msg: "no containers on Saturdays" }
        : { Allow: true };
    const { code, stderr } = await daemon.client(["create", "--network", "none", IMAGE]);
    assert.notEqual(code, 0);
    assert.match(stderr, /authorization denied by plugin second: no containers on Saturdays/);
    const { status } = await api(daemon, "POST", "/containers/create", `{"Image":"${IMAGE}"}`);
    assert.equal(status, 403);
    decide = (method, body) =>
      method === "AuthZRes" && /\/info/.test(String(body["RequestUri"]))
        ? { Allow: false, Msg: "secret" }
        : { Allow: true };
    const info = await api(daemon, "GET", "/info");
    assert.deepEqual(info, {
      status: 403,
      body: { message: "authorization denied by plugin second: secret" },
    });
    decide = allow;
  });

  test("see the whole of a large body, or the request is refused", async () => {
    let seen = 0;
    decide = (method, body) => {
      if (method === "AuthZReq") seen = String(body["RequestBody"] ?? "").length;
      return { Allow: false, Msg: "seen" };
    };
    const large = JSON.stringify({ Image: IMAGE, Env: ["x".repeat(3 << 20)] });
    assert.equal((await api(daemon, "POST", "/containers/create", large)).status, 403);
    assert.ok(seen > 3 << 20, String(seen));
    seen = 0;
    const huge = JSON.stringify({ Image: IMAGE, Env: ["x".repeat(9 << 20)] });
    assert.equal((await api(daemon, "POST", "/containers/create", huge)).status, 400);
    assert.equal(seen, 0);
    decide = allow;
  });

  test("that are down or talk nonsense allow nothing", async () => {
    for (const nonsense of [{}, { Allow: "true" }, { Allow: 1 }]) {
      decide = () => nonsense;
      assert.equal((await api(daemon, "GET", "/info")).status, 403);
    }
    decide = () => {
      throw new Error("out of order");
    };
    const failed = await api(daemon, "GET", "/info");
    assert.equal(failed.status, 500);
    assert.match(failed.body.message, /^plugin second failed with error: .*out of order$/);
    decide = allow;
    await second.stop();
    try {
      const { status, body } = await api(daemon, "GET", "/info");
      assert.equal(status, 500);
      assert.match(body.message, /^plugin second failed with error: /);
    } finally {
      await second.start();
    }
    assert.equal((await api(daemon, "GET", "/info")).status, 200);
  });

  test("change with a reload, unless one is not there", async () => {
    await reload(["first", "missing"]);
    const told = async () => (await daemon.log()).includes("error validating authorization plugin");
    await eventually("the reload is refused", told);
    decide = () => ({ Allow: false, Msg: "still here" });
    assert.equal((await api(daemon, "GET", "/info")).status, 403);
    await reload(["first"]);
    const isFree = async () => (await api(daemon, "GET", "/info")).status === 200;
    await eventually("the second is not asked any more", isFree);
    decide = allow;
    const { body } = await api(daemon, "GET", "/info");
    assert.deepEqual(body.Plugins.Authorization, ["first"]);
  });

  test("a daemon does not start with one that cannot authorize", async () => {
    // One that is not there is waited for: test/integration/plugins-waits.test.ts.
    const other = new PluginServer(join(folder, "other.sock"), {
      "Plugin.Activate": () => ({ Implements: ["VolumeDriver"] }),
    });
    await other.start();
    try {
      const args = ["--plugin-socket-dir", folder, "--authorization-plugin", "other"];
      await assert.rejects(startDaemon({ args }), (error: Error) => {
        assert.match(
          error.message,
          /error validating authorization plugin: plugin .*other.* does not implement authz/,
        );
        return true;
      });
    } finally {
      await other.stop();
    }
  });
});
