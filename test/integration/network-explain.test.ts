// What explain sees of real kernels that are in the way: a listener on loopback, an element that is
// gone, another firewall, forwarding that is off. And ports in a row, which are one of everything.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../../src/native/index.ts";
import { rulesOf } from "../../src/network/endpoint-rules.ts";
import { planRemoveEndpoint } from "../../src/network/firewall-elements.ts";
import { type ExplainLine, eachPort } from "../../src/network/index.ts";
import { NETLINK_NETFILTER, NftBatch } from "../../src/network/nftables.ts";
import { type Container, HOST, HOST6, Lab, REMOTE, tcp } from "../support/network-lab.ts";

const publish = [tcp(80, { hostPort: 8080, hostPortEnd: 8080 })];
const lines = async (lab: Lab, box: Container, number = 80): Promise<ExplainLine[]> =>
  lab.network.explain({
    record: box.attachment.record,
    pid: box.agent.pid,
    port: { number, protocol: "tcp" },
  });
const bad = async (lab: Lab, box: Container, number = 80): Promise<string> =>
  (await lines(lab, box, number))
    .filter(({ verdict }) => verdict === "bad")
    .map(({ about, says, fix }) => `${about}: ${says} → ${fix}`)
    .join("\n");
const nft = (data: { data: Uint8Array }): Operation => ({
  op: "netlink",
  protocol: NETLINK_NETFILTER,
  data: data.data,
});

test("a port that answers has nothing in its way", async () => {
  await using lab = await Lab.make();
  const box = await lab.container(publish);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const found = await lines(lab, box);
  assert.deepEqual([...new Set(found.map(({ verdict }) => verdict))], ["ok"]);
  assert.match(JSON.stringify(found), /sends 0\.0\.0\.0:8080\/tcp to 172\.17\.0\.\d+:80/);
  assert.match(JSON.stringify(found), /the port holder carries \[::\]:8080/);
});

test("who listens on loopback only, or not at all, is told so", async () => {
  await using lab = await Lab.make();
  const box = await lab.container(publish);
  assert.match(await bad(lab, box), /^listener 80\/tcp: nothing listens/);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80, host: "127.0.0.1" });
  assert.match(await bad(lab, box), /^listener 80\/tcp: .* 127\.0\.0\.1 only.* → make it listen/);
  await box.agent.ask({ do: "close" });
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80, host: "::" });
  assert.equal(await bad(lab, box), "");
});

test("an element that is gone, forwarding that is off and a drop of others are found", async () => {
  await using lab = await Lab.make({ acceptInOtherFirewalls: false });
  const box = await lab.container(publish);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.run(nft(planRemoveEndpoint("gantry_gantry0", rulesOf(box.attachment.record))));
  assert.match(await bad(lab, box), /forwarding: nftables table gantry_gantry0 does not know/);
  const path = "/proc/sys/net/ipv4/ip_forward";
  await lab.run({ op: "write", path, data: Buffer.from("0") });
  assert.match(await bad(lab, box), /ip_forward: .* → sysctl -w net\.ipv4\.ip_forward=1/);
  const hook = { type: "filter", hook: "forward", priority: 5, drops: true } as const;
  await lab.run(nft(new NftBatch("strict").addTable().addChain("fwd", hook).finish()));
  assert.match(await bad(lab, box), /firewall: inet strict fwd drops what is forwarded/);
});

test("an internal network, and a port that is not published, are reasons", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "inside", Internal: true });
  const box = await lab.container([], "box", { networkName: "inside" });
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  const said = await bad(lab, box);
  assert.match(said, /network: inside is internal/);
  assert.match(said, /published: the port is not published/);
});

test("ten thousand ports in a row are one entry, and each of them is reached", async () => {
  await using lab = await Lab.make();
  const row = Array.from({ length: 10_000 }, (_, n) =>
    tcp(20_000 + n, { hostPort: 20_000 + n, hostPortEnd: 20_000 + n }),
  );
  const box = await lab.container(row);
  assert.deepEqual(
    box.attachment.record.ports.map(({ hostIp, hostPort, count }) => [hostIp, hostPort, count]),
    [
      ["0.0.0.0", 20_000, 10_000],
      ["::", 20_000, 10_000],
    ],
  );
  assert.equal(eachPort(box.attachment.record.ports).length, 20_000);
  const ask = { do: "tcp" } as const;
  for (const port of [20_000, 24_321, 29_999]) {
    await box.agent.ask({ do: "listen", protocol: "tcp", port });
    assert.equal(await lab.remote.ask({ ...ask, host: HOST, port }), `${REMOTE}\nbye`);
    assert.match(await lab.host.ask({ ...ask, host: "127.0.0.1", port }), /bye$/);
    assert.match(await lab.remote.ask({ ...ask, host: HOST6, port }), /bye$/);
  }
  assert.equal(await bad(lab, box, 24_321), "");
  await assert.rejects(lab.container([tcp(1, { hostPort: 25_000, hostPortEnd: 25_000 })], "late"), {
    message: /Bind for 0\.0\.0\.0:25000 failed: port is already allocated$/,
  });
  await lab.network.republish(box.attachment.record, {
    add: [],
    remove: eachPort(box.attachment.record.ports).filter(({ hostPort }) => hostPort === 24_321),
    containerName: "box",
  });
  assert.equal(box.attachment.record.ports.length, 4, "a row with a hole is two");
  assert.equal(await lab.remote.ask({ ...ask, host: HOST, port: 24_321 }), "ECONNREFUSED");
  assert.equal(await lab.remote.ask({ ...ask, host: HOST, port: 29_999 }), `${REMOTE}\nbye`);
  await box.end();
  const heir = await lab.container([tcp(80, { hostPort: 29_999, hostPortEnd: 29_999 })]);
  await heir.end();
});

test("a row with one port that is taken is refused as a whole, and says which", async () => {
  await using lab = await Lab.make();
  await lab.host.ask({ do: "listen", protocol: "tcp", port: 9003 });
  const row = [0, 1, 2, 3, 4].map((n) =>
    tcp(80 + n, { hostPort: 9000 + n, hostPortEnd: 9000 + n }),
  );
  await assert.rejects(lab.container(row), /0\.0\.0\.0:9003:.*: address already in use/);
  const free = await lab.container(row.slice(0, 3));
  await free.agent.ask({ do: "listen", protocol: "tcp", port: 82 });
  const said = await lab.remote.ask({ do: "tcp", host: HOST, port: 9002 });
  assert.equal(said, `${REMOTE}\nbye`, "other numbers inside than outside");
});
