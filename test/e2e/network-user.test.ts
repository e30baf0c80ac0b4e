// Networks that users make, driven by the stock client: create, connect and disconnect while a
// container runs, isolation, addresses that were asked for, removal, prune, and a daemon killed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("user-defined networks", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const listener = async (...flags: string[]) => {
    const id = await ok("run", "-d", ...flags, IMAGE, "listen", "tcp", "80");
    await daemon.session("logs", "-f", id).until("listening");
    return id;
  };
  const inspect = (ref: string, format: string) => ok("inspect", "-f", format, ref);
  // What is not let through is not answered: nobody waits long for that, but long for an answer.
  const connects = async (from: string, address: string, patienceMs: number) =>
    (await daemon.client(["exec", from, "connect", "tcp", address, "80", `${patienceMs}`])).code ===
    0;
  const reaches = (from: string, address: string) => connects(from, address, 30_000);
  const isShut = async (from: string, address: string) => !(await connects(from, address, 400));

  test("a network is made, listed, inspected and removed", async () => {
    const flags = ["--subnet", "10.77.0.0/24", "--gateway", "10.77.0.1", "--label", "a=b"];
    const id = await ok("network", "create", ...flags, "first");
    assert.match(id, /^[0-9a-f]{64}$/);
    const [found] = JSON.parse(await ok("network", "inspect", "first"));
    assert.equal(found.Id, id);
    assert.deepEqual(found.Labels, { a: "b" });
    assert.deepEqual(found.IPAM.Config, [{ Subnet: "10.77.0.0/24", Gateway: "10.77.0.1" }]);
    assert.match(await ok("network", "ls", "--filter", "label=a=b"), /first\s+bridge\s+local/);
    assert.equal(await ok("network", "rm", "first"), "first");
    const gone = await daemon.client(["network", "inspect", "first"]);
    assert.match(gone.stderr, /network first not found/);
  });

  test("a container with an address of its own choice talks to its neighbours only", async () => {
    await ok("network", "create", "--subnet", "10.78.0.0/24", "one");
    await ok("network", "create", "two");
    const a = await listener("--name", "box-a", "--network", "one", "--ip", "10.78.0.9");
    const b = await listener("--name", "box-b", "--network", "one");
    const c = await listener("--name", "box-c", "--network", "two");
    assert.equal(await inspect(a, "{{.NetworkSettings.Networks.one.IPAddress}}"), "10.78.0.9");
    assert.equal(await reaches(b, "10.78.0.9"), true);
    assert.equal(await isShut(c, "10.78.0.9"), true);

    await ok("network", "connect", "--alias", "db", "one", "box-c");
    assert.equal(await reaches(c, "10.78.0.9"), true);
    const networks = JSON.parse(await inspect(c, "{{json .NetworkSettings.Networks}}"));
    assert.deepEqual(Object.keys(networks).sort(), ["one", "two"]);
    assert.deepEqual(networks.one.Aliases, ["db"]);
    const again = await daemon.client(["network", "connect", "one", "box-c"]);
    assert.match(again.stderr, /already exists in network one/);

    const active = await daemon.client(["network", "rm", "one"]);
    assert.match(active.stderr, /network one has active endpoints/);
    await ok("network", "disconnect", "one", "box-c");
    assert.equal(await isShut(c, "10.78.0.9"), true);
    await ok("rm", "-f", a, b, c);
    await ok("network", "rm", "one", "two");
  });

  test("several networks at create, their order of interfaces, and a restart", async () => {
    await ok("network", "create", "n1");
    await ok("network", "create", "n2");
    const id = await ok("create", "--network", "n1", "--network", "n2", IMAGE, "sleep", "60");
    await ok("start", id);
    const names = async () =>
      [...(await ok("exec", id, "cat", "/proc/net/dev")).matchAll(/^ *(eth\d):/gm)]
        .map(([, name]) => name)
        .sort();
    assert.deepEqual(await names(), ["eth0", "eth1"]);
    const addresses = () =>
      inspect(id, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}");
    const before = await addresses();
    await daemon.kill9();
    await daemon.start();
    assert.equal(await addresses(), before);
    await ok("network", "disconnect", "n1", id);
    assert.deepEqual(await names(), ["eth1"]);
    await ok("network", "connect", "n1", id);
    assert.deepEqual(await names(), ["eth0", "eth1"]);
    await ok("rm", "-f", id);
    await ok("network", "rm", "n1", "n2");
  });

  test("a connect that was refused is on no record, also after a crash", async () => {
    await ok("network", "create", "--subnet", "10.79.0.0/24", "full");
    const owner = await ok("run", "-d", "--network", "full", "--ip", "10.79.0.9", IMAGE, "sleep");
    const id = await ok("run", "-d", IMAGE, "sleep");
    const { code } = await daemon.client(["network", "connect", "--ip", "10.79.0.9", "full", id]);
    assert.notEqual(code, 0);
    await daemon.kill9();
    await daemon.start();
    const networks = JSON.parse(await inspect(id, "{{json .NetworkSettings.Networks}}"));
    assert.deepEqual(Object.keys(networks), ["bridge"]);
    await ok("rm", "-f", id, owner);
    await ok("network", "rm", "full");
  });

  test("names, aliases and short ids are answered on networks of the user's only", async () => {
    // Internal: nobody outside is asked for names that nobody has.
    await ok("network", "create", "--internal", "named");
    const a = await listener("--name", "box-a", "--network", "named", "--network-alias", "db");
    const b = await listener("--name", "box-b", "--network", "named", "--network-alias", "db");
    const lonely = await listener("--name", "box-c");
    const resolve = (from: string, name: string) => ok("exec", from, "resolve", name);
    const address = (id: string) => inspect(id, "{{.NetworkSettings.Networks.named.IPAddress}}");
    assert.equal(await resolve(b, "box-a"), await address(a));
    assert.equal(await resolve(b, "box-a.named"), await address(a));
    assert.equal(await resolve(a, b.slice(0, 12)), await address(b));
    const both = (await resolve(a, "db")).split("\n").sort();
    assert.deepEqual(both, [await address(a), await address(b)].sort());
    const unknown = await daemon.client(["exec", a, "resolve", "box-c"]);
    assert.equal(unknown.code, 1);

    // Joined while it runs, it asks and is found.
    await ok("network", "connect", "--alias", "late", "named", lonely);
    assert.equal(await resolve(lonely, "box-a"), await address(a));
    assert.equal(await resolve(a, "late"), await address(lonely));
    await ok("rename", "box-a", "box-z");
    assert.equal(await resolve(b, "box-z"), await address(a));
    await daemon.kill9();
    await daemon.start();
    assert.equal(await resolve(b, "box-z"), await address(a));
    await ok("rm", "-f", a);
    assert.notEqual((await daemon.client(["exec", b, "resolve", "box-z"])).code, 0);
    await ok("rm", "-f", b, lonely);
    await ok("network", "rm", "named");
  });

  test("prune removes what no container is on, and a name is taken once", async () => {
    await ok("network", "create", "idle");
    await ok("network", "create", "busy");
    const twice = await daemon.client(["network", "create", "busy"]);
    assert.match(twice.stderr, /network with name busy already exists/);
    const id = await listener("--network", "busy");
    assert.match(await ok("network", "prune", "-f"), /Deleted Networks:\nidle/);
    assert.match(await ok("network", "ls"), /busy/);
    await ok("rm", "-f", id);
    await ok("network", "rm", "busy");
  });
});
