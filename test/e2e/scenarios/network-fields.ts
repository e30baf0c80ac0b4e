// Every flag and field of networks and endpoints: what is taken shows in the container's own view
// of its interfaces, what is not is refused in docker's words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { askApi } from "../../support/unix-api.ts";
import { IMAGE, type TestDaemon } from "../harness.ts";

export function networkFieldScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const refused = async (message: RegExp, ...args: string[]) => {
    const { code, stderr } = await daemon().client(args);
    assert.notEqual(code, 0, args.join(" "));
    assert.match(stderr, message);
  };
  const network = async (name: string) => JSON.parse(await ok("network", "inspect", name))[0];
  const file = (id: string, path: string) => ok("exec", id, "cat", path);
  const endpoints = async (id: string) =>
    JSON.parse(await ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", id));
  const sleeper = (...flags: string[]) => ok("run", "-d", ...flags, IMAGE, "sleep", "600");
  const interfaces = async (id: string) =>
    [...(await file(id, "/proc/net/dev")).matchAll(/^ *([^\s:]+):/gm)]
      .map(([, name]) => name)
      .filter((name) => name !== "lo")
      .sort();
  /** The interface of the IPv4 default route. */
  const wayOut = async (id: string) =>
    (await file(id, "/proc/net/route"))
      .split("\n")
      .map((line) => line.split("\t"))
      .find(([, destination]) => destination === "00000000")?.[0];

  test("a network shows what it was made of", async () => {
    await ok(
      ...["network", "create", "--subnet", "10.40.0.0/24", "--ip-range", "10.40.0.128/25"],
      ...["--gateway", "10.40.0.9", "--aux-address", "router=10.40.0.200", "--attachable"],
      ...["--ipv6", "--subnet", "fd40::/64", "--label", "a=b", "--ipam-opt", "x=y"],
      ...["-o", "com.docker.network.driver.mtu=1400", "whole"],
    );
    const shown = await network("whole");
    // The stock client sends its subnets in an order that Go's maps give them, another each time.
    shown.IPAM.Config.sort((a: { Subnet: string }, b: { Subnet: string }) =>
      a.Subnet < b.Subnet ? -1 : 1,
    );
    assert.deepEqual(shown.IPAM, {
      Driver: "default",
      Options: { x: "y" },
      Config: [
        {
          Subnet: "10.40.0.0/24",
          IPRange: "10.40.0.128/25",
          Gateway: "10.40.0.9",
          AuxiliaryAddresses: { router: "10.40.0.200" },
        },
        { Subnet: "fd40::/64" },
      ],
    });
    assert.deepEqual([shown.Attachable, shown.EnableIPv6, shown.Scope], [true, true, "local"]);
    const id = await sleeper("--network", "whole");
    const { whole } = await endpoints(id);
    assert.equal(whole.IPAddress, "10.40.0.128");
    assert.deepEqual(
      [whole.Gateway, whole.GlobalIPv6Address, whole.GlobalIPv6PrefixLen, whole.IPv6Gateway],
      ["10.40.0.9", "fd40::2", 64, "fd40::1"],
    );
    assert.equal(await file(id, "/sys/class/net/eth0/mtu"), "1400");
    const running = (await network("whole")).Containers[id];
    assert.equal(running.EndpointID, whole.EndpointID);
    assert.equal(running.IPv6Address, "fd40::2/64");
    assert.deepEqual(await status("whole"), {
      "10.40.0.0/24": { IPsInUse: 5, DynamicIPsAvailable: 125 },
      "fd40::/64": { IPsInUse: 3, DynamicIPsAvailable: Number.MAX_SAFE_INTEGER },
    });
    await ok("stop", "-t", "0", id);
    assert.deepEqual((await network("whole")).Containers, {}, "those that run only");
    await ok("rm", id);
    await ok("network", "rm", "whole");
  });

  /** IPAM.Subnets of the newest API, which the stock client is too old for. */
  const status = async (name: string): Promise<unknown> =>
    (
      await askApi<{ Status: { IPAM: { Subnets: unknown } } }>(
        daemon().socket,
        `/v1.52/networks/${name}`,
      )
    ).Status.IPAM.Subnets;

  test("IPv6 alone, ids, prefixes, and what cannot be", async () => {
    const id = await ok("network", "create", "--ipv4=false", "--ipv6", "six");
    const box = await sleeper("--network", id.slice(0, 10));
    const { six } = await endpoints(box);
    assert.equal(six.IPAddress, "");
    assert.match(six.GlobalIPv6Address, /^fd[0-9a-f:]+::2$/);
    assert.equal(await wayOut(box), undefined);
    const other = await sleeper("--network", "six");
    assert.notEqual((await endpoints(other)).six.MacAddress, six.MacAddress);
    await ok("rm", "-f", box, other);
    assert.equal(await ok("network", "rm", id.slice(0, 10)), id.slice(0, 10));
    await ok("network", "rm", "-f", "six");
    await refused(/network six not found/, "network", "rm", "six");
    await refused(/IPv4 or IPv6 must be enabled/, "network", "create", "--ipv4=false", "x");
    await refused(/Ingress network can only be global/, "network", "create", "--ingress", "x");
    await refused(/not active/, "network", "create", "--scope", "swarm", "x");
    await refused(/pre-defined network/, "network", "rm", "host");
  });

  test("a configuration network, and what is made from it", async () => {
    await ok("network", "create", "--config-only", "--subnet", "10.41.0.0/24", "cfg");
    await ok("network", "create", "--config-from", "cfg", "made");
    assert.equal((await network("made")).IPAM.Config[0].Subnet, "10.41.0.0/24");
    await refused(/configuration network "cfg" is in use/, "network", "rm", "cfg");
    const name = ["--name", "nowhere", "--network", "cfg"];
    await refused(/only a configuration/, "run", "--rm", ...name, IMAGE, "true");
    await ok("rm", "-f", "nowhere");
    await ok("network", "rm", "made", "cfg");
  });

  test("an endpoint has the addresses, the name and the sysctls that were asked for", async () => {
    await ok(
      "network",
      "create",
      "--subnet",
      "10.42.0.0/24",
      "--ipv6",
      "--subnet",
      "fd42::/64",
      "n1",
    );
    await ok("network", "create", "-o", "com.docker.network.container_iface_prefix=lan", "n2");
    const id = await sleeper(
      "--network",
      "name=n1,ip=10.42.0.7,ip6=fd42::7,mac-address=02:00:00:00:00:07,link-local-ip=169.254.7.7," +
        "alias=seven,driver-opt=com.docker.network.endpoint.ifname=wan0," +
        '"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"',
      "--network",
      "n2",
    );
    assert.deepEqual(await interfaces(id), ["lan0", "wan0"]);
    const { n1 } = await endpoints(id);
    assert.deepEqual(
      [n1.IPAddress, n1.GlobalIPv6Address, n1.MacAddress, n1.Aliases],
      ["10.42.0.7", "fd42::7", "02:00:00:00:00:07", ["seven"]],
    );
    assert.deepEqual(n1.IPAMConfig, {
      IPv4Address: "10.42.0.7",
      IPv6Address: "fd42::7",
      LinkLocalIPs: ["169.254.7.7"],
    });
    assert.equal(await file(id, "/sys/class/net/wan0/address"), "02:00:00:00:00:07");
    assert.match(await file(id, "/proc/net/fib_trie"), /169\.254\.7\.7/);
    assert.equal(await file(id, "/proc/sys/net/ipv4/conf/wan0/log_martians"), "1");
    await ok("restart", "-t", "0", id);
    assert.equal((await endpoints(id)).n1.IPAddress, "10.42.0.7");
    assert.equal((await endpoints(id)).n1.MacAddress, "02:00:00:00:00:07");
    await ok("rm", "-f", id);

    const run = (...flags: string[]) => ["create", ...flags, IMAGE, "true"];
    await refused(
      /user specified IP address is supported on user defined networks only/,
      ...run("--ip", "10.0.0.1"),
    );
    await refused(/network-scoped aliases are only supported/, ...run("--network-alias", "x"));
    await refused(
      /networks with user configured subnets/,
      ...run("--network", "n2", "--ip", "172.30.0.9"),
    );
    await refused(
      /no configured subnet or ip-range contain the IP address/,
      ...run("--network", "n1", "--ip", "10.43.0.9"),
    );
    const sysctl = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.eth0.x=1";
    await refused(
      /unrecognised network interface sysctl/,
      ...run("--network", `name=n1,${sysctl}`),
    );
    const plain = await ok(...run());
    const linkLocal = ["--link-local-ip", "10.0.0.1"];
    await refused(/invalid link-local IP address/, "network", "connect", ...linkLocal, "n2", plain);
    await ok("rm", plain);
    await ok("network", "rm", "n1", "n2");
  });

  test("default route and published ports follow gw-priority, and connections go on", async () => {
    await ok("network", "create", "low");
    await ok("network", "create", "high");
    const id = await ok(
      ...["run", "-d", "--network", "low", "-p", "80", "-p", "8500:81"],
      ...[IMAGE, "listen", "tcp", "80"],
    );
    await daemon().session("logs", "-f", id).until("listening");
    const port = (await ok("port", id, "80")).split("\n")[0]!.split(":")[1]!;
    const answers = async () =>
      (await daemon().onHost("connect", "tcp", "127.0.0.1", port, "2000")).stdout;
    assert.match(await answers(), /hello/);
    assert.equal(await wayOut(id), "eth0");

    await ok("network", "connect", "--gw-priority", "5", "high", id);
    assert.equal(await wayOut(id), "eth1");
    const { high, low } = await endpoints(id);
    assert.equal(high.GwPriority, 5);
    assert.equal((await ok("port", id, "80")).split("\n")[0]!.split(":")[1], port, "the same port");
    assert.match(await answers(), new RegExp(`to ${high.Gateway.replaceAll(".", "\\.")}`));
    await daemon().kill9();
    await daemon().start();
    assert.match(await answers(), /hello/);

    await ok("network", "disconnect", "high", id);
    assert.equal(await wayOut(id), "eth0");
    assert.match(await answers(), new RegExp(`to ${low.Gateway.replaceAll(".", "\\.")}`));
    await ok("network", "disconnect", "low", id);
    assert.equal(await wayOut(id), undefined);
    assert.doesNotMatch(await answers(), /hello/);
    await ok("network", "connect", "low", id);
    assert.equal(await wayOut(id), "eth0");
    assert.match((await daemon().onHost("connect", "tcp", "127.0.0.1", "8500", "500")).stderr, /./);
    assert.match(await ok("port", id, "81"), /0\.0\.0\.0:8500/);
    await ok("rm", "-f", id);
    await ok("network", "rm", "low", "high");
  });

  test("five networks in one start, in the order in which they were named", async () => {
    // The client sorts them, but for the first.
    const names = ["e", "a", "b", "c", "d"];
    for (const name of names) await ok("network", "create", name);
    const id = await sleeper(...names.flatMap((name) => ["--network", name]));
    assert.deepEqual(await interfaces(id), ["eth0", "eth1", "eth2", "eth3", "eth4"]);
    assert.equal(await wayOut(id), "eth0");
    const before = await endpoints(id);
    const macs = await Promise.all(
      names.map((_, index) => file(id, `/sys/class/net/eth${index}/address`)),
    );
    assert.deepEqual(
      macs,
      names.map((name) => before[name].MacAddress),
    );
    const peers = await Promise.all(names.map((name) => sleeper("--network", name)));
    for (const [index, peer] of peers.entries()) {
      const name = names[index]!;
      const found = await daemon().client(["exec", peer, "resolve", id.slice(0, 12)]);
      assert.equal(found.stdout.trim(), before[name].IPAddress, name);
    }
    await ok("restart", "-t", "0", id);
    const again = await endpoints(id);
    for (const name of names) assert.equal(again[name].IPAddress, before[name].IPAddress);
    await ok("rm", "-f", id, ...peers);
    await ok("network", "rm", ...names);
  });

  test("who may be connected to what", async () => {
    await ok("network", "create", "n");
    const stopped = await ok("create", "--name", "still", IMAGE, "sleep", "600");
    await ok("network", "connect", "--alias", "x", "n", stopped);
    await refused(
      /endpoint with name still already exists in network n/,
      "network",
      "connect",
      "n",
      "still",
    );
    await ok("start", stopped);
    assert.deepEqual(Object.keys(await endpoints(stopped)).sort(), ["bridge", "n"]);
    await ok("network", "disconnect", "-f", "n", stopped);
    await refused(/is not connected to network n/, "network", "disconnect", "n", stopped);
    const host = await sleeper("--network", "host");
    const none = await sleeper("--network", "none");
    const shared = await sleeper("--network", `container:${stopped}`);
    await refused(/host network/, "network", "connect", "n", host);
    await refused(/private \(none\) mode/, "network", "connect", "n", none);
    await refused(/sharing network namespace/, "network", "connect", "n", shared);
    await refused(/network nope not found/, "network", "connect", "nope", stopped);
    await refused(/No such container: nope/, "network", "disconnect", "-f", "n", "nope");
    await ok("network", "disconnect", "none", none);
    await ok("network", "connect", "n", none);
    assert.deepEqual(await interfaces(none), ["eth0"]);
    assert.equal(await wayOut(none), "eth0");
    await ok("rm", "-f", stopped, host, none, shared);
    await ok("network", "rm", "n");
  });

  test("links on the default bridge tell of ports and environment", async () => {
    const db = await sleeper("--name", "db", "--expose", "5432", "-e", "SECRET=x");
    const app = await sleeper("--name", "app", "--link", "db:my-db");
    const { bridge } = await endpoints(db);
    const env = await ok("exec", app, "env");
    assert.match(env, new RegExp(`^MY_DB_PORT=tcp://${bridge.IPAddress}:5432$`, "m"));
    assert.match(env, /^MY_DB_PORT_5432_TCP_PROTO=tcp$/m);
    assert.match(env, /^MY_DB_NAME=\/app\/my-db$/m);
    assert.match(env, /^MY_DB_ENV_SECRET=x$/m);
    const hosts = await file(app, "/etc/hosts");
    assert.ok(hosts.includes(`${bridge.IPAddress}\tmy-db ${db.slice(0, 12)} db\n`), hosts);
    assert.equal(
      await ok("inspect", "-f", "{{json .HostConfig.Links}}", app),
      '["/db:/app/my-db"]',
    );

    // It comes back at another address: the first is taken meanwhile.
    await ok("stop", "-t", "0", db);
    await refused(/Cannot link to a non running container: \/db AS/, "run", "--link", "db", IMAGE);
    const thieves: string[] = [];
    do thieves.push(await sleeper());
    while ((await endpoints(thieves.at(-1)!)).bridge.IPAddress !== bridge.IPAddress);
    await ok("start", db);
    const moved = (await endpoints(db)).bridge.IPAddress;
    assert.notEqual(moved, bridge.IPAddress);
    assert.ok((await file(app, "/etc/hosts")).includes(`${moved}\tmy-db`));
    await ok("rename", "db", "store");
    assert.match(await ok("inspect", "-f", "{{.HostConfig.Links}}", app), /\/store:\/app\/my-db/);
    await ok("rm", "--link", "/app/my-db");
    assert.equal(await ok("inspect", "-f", "{{json .HostConfig.Links}}", app), "null");
    await refused(/could not get container for nope/, "create", "--link", "nope", IMAGE);
    await refused(/host type networking/, "create", "--network", "host", "--link", "store", IMAGE);
    const leftover = await ok("ps", "-aq", "--filter", "status=created");
    await ok("rm", "-f", app, db, ...thieves, ...leftover.split("\n").filter((id) => id));
  });

  test("a link on a network of the user's is a name that only the linking container knows", async () => {
    await ok("network", "create", "--internal", "n");
    const db = await sleeper("--name", "db", "--network", "n");
    const app = await sleeper("--name", "app", "--network", "n", "--link", "db:store");
    const { n } = await endpoints(db);
    assert.equal(await ok("exec", app, "resolve", "store"), n.IPAddress);
    assert.notEqual((await daemon().client(["exec", db, "resolve", "store"])).code, 0);
    assert.deepEqual((await endpoints(app)).n.Links, ["db:store"]);
    await ok("rm", "-f", app, db);
    await ok("network", "rm", "n");
  });
}
