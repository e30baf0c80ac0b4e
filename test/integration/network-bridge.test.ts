// Who reaches whom, with real sockets: containers on the default bridge, their host, and a remote
// machine on the host's uplink, each in a network namespace of its own.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { adviceOf, type GantryError } from "../../src/base/index.ts";
import { BRIEFLY, HOST, HOST6, Lab, REMOTE, tcp } from "../support/network-lab.ts";

let lab: Lab;
before(async () => {
  lab = await Lab.make();
});
after(async () => {
  await lab[Symbol.asyncDispose]();
});

test("a container reaches a remote machine, which sees the host's address", async () => {
  const box = await lab.container();
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
  await box.end();
});

test("containers of the bridge reach one another under their own addresses", async () => {
  const one = await lab.container();
  const two = await lab.container();
  await two.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const said = await one.agent.ask({ do: "tcp", host: two.address, port: 80, send: "hi" });
  assert.equal(said, `${one.address}\nhibye`);
  await one.end();
  await two.end();
});

test("a published TCP port is reached from outside, from the host, and from the same bridge", async () => {
  const web = await lab.container([tcp(80, { hostPort: 8080, hostPortEnd: 8080 })]);
  const other = await lab.container();
  await web.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const ask = { do: "tcp", port: 8080, send: "x" } as const;
  const gateway = web.attachment.record.ipv4!.gateway;
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), `${REMOTE}\nxbye`, "source kept");
  assert.match(await lab.host.ask({ ...ask, host: HOST }), /xbye$/);
  assert.equal(await lab.host.ask({ ...ask, host: "127.0.0.1" }), `${gateway}\nxbye`);
  assert.equal(await lab.host.ask({ ...ask, host: "::1" }), `${gateway}\nxbye`);
  assert.equal(await lab.remote.ask({ ...ask, host: HOST6 }), `${gateway}\nxbye`);
  assert.match(await other.agent.ask({ ...ask, host: HOST }), /xbye$/, "hairpin");
  assert.match(await other.agent.ask({ ...ask, host: gateway }), /xbye$/, "by the gateway");
  assert.match(await web.agent.ask({ ...ask, host: HOST }), /xbye$/, "itself");
  assert.deepEqual(
    web.attachment.record.ports.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`),
    ["0.0.0.0 8080", ":: 8080"],
  );
  await other.end();
  await web.end();
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), "ECONNREFUSED");
  assert.equal(await lab.host.ask({ ...ask, host: "127.0.0.1" }), "ECONNREFUSED");
});

test("a published UDP port answers from the address that was asked", async () => {
  const dns = await lab.container([
    tcp(53, { protocol: "udp", hostPort: 5300, hostPortEnd: 5300 }),
  ]);
  await dns.agent.ask({ do: "listen", protocol: "udp", port: 53 });
  const ask = { do: "udp", port: 5300, count: 2 } as const;
  const gateway = dns.attachment.record.ipv4!.gateway;
  const said = (from: string, via: string) => `${from} n0 via ${via}, ${from} n1 via ${via}`;
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), said(REMOTE, HOST));
  assert.equal(await lab.host.ask({ ...ask, host: "127.0.0.1" }), said(gateway, "127.0.0.1"));
  assert.equal(await lab.host.ask({ ...ask, host: "127.0.0.2" }), said(gateway, "127.0.0.2"));
  assert.equal(await lab.host.ask({ ...ask, host: "::1" }), said(gateway, "::1"));
  assert.equal(await lab.remote.ask({ ...ask, host: HOST6 }), said(gateway, HOST6));
  await dns.end();
});

test("a port published on loopback is not reachable from elsewhere, whatever the routes", async () => {
  const box = await lab.container([
    tcp(80, { hostIp: "127.0.0.1", hostPort: 8081, hostPortEnd: 8081 }),
  ]);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.run({
    op: "write",
    path: "/proc/sys/net/ipv4/conf/all/route_localnet",
    data: Buffer.from("1"),
  });
  const ask = { do: "tcp", port: 8081 } as const;
  assert.match(await lab.host.ask({ ...ask, host: "127.0.0.1" }), /bye$/);
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), "ECONNREFUSED");
  await lab.routeFromRemote("127.0.0.1/32").catch(() => {});
  assert.doesNotMatch(await lab.remote.ask({ ...ask, host: "127.0.0.1", ...BRIEFLY }), /bye/);
  await box.end();
});

test("a container's own ports are unreachable from outside, published or not", async () => {
  const box = await lab.container([tcp(80, { hostPort: 8082, hostPortEnd: 8082 })]);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 81 });
  await lab.routeFromRemote("172.17.0.0/16");
  assert.equal(
    await lab.remote.ask({ do: "tcp", host: box.address, port: 81, ...BRIEFLY }),
    "timeout",
  );
  assert.equal(
    await lab.remote.ask({ do: "tcp", host: box.address, port: 80, ...BRIEFLY }),
    "timeout",
  );
  assert.match(await lab.host.ask({ do: "tcp", host: box.address, port: 81 }), /bye$/);
  await box.end();
});

test("a range publishes its first free port, and a random port is from the kernel's range", async () => {
  const range = { hostPort: 9000, hostPortEnd: 9002 };
  const boxes = [await lab.container([tcp(80, range)]), await lab.container([tcp(80, range)])];
  const random = await lab.container([tcp(80), tcp(81)]);
  const ports = boxes.map(({ attachment }) => attachment.record.ports[0]!.hostPort);
  assert.deepEqual(ports, [9000, 9001]);
  const chosen = random.attachment.record.ports;
  assert.equal(new Set(chosen.map(({ hostPort }) => hostPort)).size, 2);
  for (const { hostPort } of chosen) assert.ok(hostPort >= 32768 && hostPort <= 60999);
  await random.agent.ask({ do: "listen", protocol: "tcp", port: 81 });
  const port = chosen.find(({ containerPort }) => containerPort === 81)!.hostPort;
  assert.match(await lab.remote.ask({ do: "tcp", host: HOST, port }), /bye$/);
  for (const box of [...boxes, random]) await box.end();
});

test("a port in use is refused in docker's words, and nothing of the attempt is left", async () => {
  const first = await lab.container([tcp(80, { hostPort: 8083, hostPortEnd: 8083 })], "first");
  const again = [
    tcp(81, { hostPort: 8084, hostPortEnd: 8084 }),
    tcp(80, { hostPort: 8083, hostPortEnd: 8083 }),
  ];
  await assert.rejects(lab.container(again, "second"), (error: GantryError) => {
    assert.equal(error.kind, "conflict");
    assert.match(
      error.message,
      /^driver failed programming external connectivity on endpoint second \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8083 failed: port is already allocated$/,
    );
    assert.equal(adviceOf(error)?.cause, "container first has published it");
    return true;
  });
  await lab.host.ask({ do: "listen", protocol: "tcp", port: 8085 });
  await assert.rejects(lab.container([tcp(80, { hostPort: 8085, hostPortEnd: 8085 })], "third"), {
    message:
      /failed to bind host port for 0\.0\.0\.0:8085:172\.17\.0\.\d+:80\/tcp: address already in use/,
  });
  const free = await lab.container([tcp(80, { hostPort: 8084, hostPortEnd: 8084 })]);
  await free.end();
  await first.end();
});

test("a client that keeps its UDP port follows a published port to its next container", async () => {
  const publish = [tcp(53, { protocol: "udp", hostPort: 5301, hostPortEnd: 5301 })];
  const ask = { do: "udp", host: HOST, port: 5301, fromPort: 6000 } as const;
  const first = await lab.container(publish);
  await first.agent.ask({ do: "listen", protocol: "udp", port: 53 });
  const between = await lab.container();
  assert.match(await lab.remote.ask(ask), /^192\.0\.2\.9 n0 via/);
  await first.end();
  const heir = await lab.container();
  const second = await lab.container(publish);
  assert.equal(heir.address, first.address);
  await second.agent.ask({ do: "listen", protocol: "udp", port: 53 });
  assert.match(await lab.remote.ask(ask), /^192\.0\.2\.9 n0 via/);
  for (const one of [between, heir, second]) await one.end();
});

test("a port published on one address of the host is not open on the others", async () => {
  const publish = [tcp(80, { hostIp: HOST, hostPort: 8086, hostPortEnd: 8086 })];
  const box = await lab.container(publish);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const ask = { do: "tcp", port: 8086 } as const;
  assert.equal(await lab.remote.ask({ ...ask, host: HOST }), `${REMOTE}\nbye`);
  assert.match(await lab.host.ask({ ...ask, host: HOST }), /bye$/);
  assert.equal(await lab.host.ask({ ...ask, host: "127.0.0.1" }), "ECONNREFUSED");
  assert.equal(await lab.remote.ask({ ...ask, host: HOST6 }), "ECONNREFUSED");
  await box.end();
});
