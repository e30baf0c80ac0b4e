// Beside other firewalls: chains of others that drop what is forwarded, made by our own encoder
// and, where they are installed, by nft, iptables and iptables-legacy; their reloads.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Operation } from "../../src/native/index.ts";
import { NETLINK_NETFILTER, NftBatch } from "../../src/network/nftables.ts";
import { BRIEFLY, type Container, HOST, Lab, REMOTE, tcp } from "../support/network-lab.ts";

const run = promisify(execFile);
const WAIT_MS = 30_000;
const publish = [tcp(80, { hostPort: 8080, hostPortEnd: 8080 })];
const ask = { do: "tcp", host: HOST, port: 8080 } as const;
const toolOf = (name: string) =>
  ["/usr/sbin/", "/sbin/", "/usr/bin/"].map((dir) => dir + name).find((path) => existsSync(path));
const without = (...names: string[]) => {
  const missing = names.filter((name) => !toolOf(name));
  return missing.length > 0 ? { skip: `${missing.join(" and ")} is not installed` } : {};
};

/** Runs a program in the namespace of the lab's host. */
async function inHost(lab: Lab, ...command: string[]): Promise<string> {
  const args = [`--net=${lab.host.netns}`, "--", ...command];
  return (await run("/usr/bin/nsenter", args)).stdout;
}

const batch = (one: NftBatch): Operation => ({
  op: "netlink",
  protocol: NETLINK_NETFILTER,
  ...one.finish(),
});
/** A table whose forward chain drops whatever comes. */
const dropAll = () =>
  batch(
    new NftBatch("strict")
      .addTable()
      .addChain("fwd", { type: "filter", hook: "forward", priority: 0, drops: true }),
  );
const removeIt = () => batch(new NftBatch("strict").deleteTable());

async function web(lab: Lab): Promise<Container> {
  const box = await lab.container(publish);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  return box;
}

/** Until the remote machine is answered so; what the last answer was otherwise. */
async function eventually(say: () => Promise<string>, wanted: RegExp): Promise<void> {
  const end = Date.now() + WAIT_MS;
  let said = await say();
  while (!wanted.test(said) && Date.now() < end) {
    await delay(50);
    said = await say();
  }
  assert.match(said, wanted);
}

test("a policy of drop is passed by one marked rule, which goes at stop", async () => {
  await using lab = await Lab.make();
  await lab.run(dropAll());
  const box = await web(lab);
  assert.equal(await lab.remote.ask(ask), `${REMOTE}\nbye`, "in, with the client's address");
  assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`, "out");
  if (toolOf("nft")) {
    const rules = await inHost(lab, "nft", "list", "table", "inet", "strict");
    assert.equal(rules.match(/comment "gantry gantry_gantry0"/g)?.length, 1);
    assert.match(rules, /meta mark & 0x08000000 == 0x08000000 counter .* accept comment/);
  }
  await box.end();
  await lab.network.stop();
  if (toolOf("nft")) {
    const left = await inHost(lab, "nft", "list", "ruleset");
    assert.doesNotMatch(left, /gantry/);
    assert.match(left, /table inet strict/, "what is others' stays");
  }
});

test("a policy of drop that comes later, or is loaded anew, is passed as well", async () => {
  await using lab = await Lab.make();
  await web(lab);
  assert.equal(await lab.remote.ask(ask), `${REMOTE}\nbye`);
  await lab.run(dropAll());
  await eventually(() => lab.remote.ask({ ...ask, ...BRIEFLY }), /^192\.0\.2\.9\nbye/);
  await lab.run(removeIt(), dropAll());
  await eventually(() => lab.remote.ask({ ...ask, ...BRIEFLY }), /^192\.0\.2\.9\nbye/);
});

test("what others drop stays dropped but for containers", async () => {
  await using lab = await Lab.make();
  await lab.run(dropAll());
  const box = await web(lab);
  await lab.routeFromRemote("172.17.0.0/16");
  assert.equal(
    await lab.remote.ask({ do: "tcp", host: box.address, port: 80, ...BRIEFLY }),
    "timeout",
    "a port that is published elsewhere is still not open at the container",
  );
});

test("where no rule may be added the port holder carries, and the log says why", async () => {
  await using lab = await Lab.make({ acceptInOtherFirewalls: false });
  const said: string[] = [];
  const warn = (message: string, fields?: object) =>
    void said.push(`${message} ${JSON.stringify(fields)}`);
  await lab.run(dropAll());
  await lab.open({ acceptInOtherFirewalls: false }, {
    ...console,
    debug: () => {},
    info: () => {},
    warn,
    error: warn,
  } as never);
  const box = await web(lab);
  assert.equal(await lab.remote.ask(ask), "172.17.0.1\nbye");
  assert.equal(
    await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000, ...BRIEFLY }),
    "timeout",
    "nobody carries what goes out",
  );
  assert.match(said.join("\n"), /drops forwarded packets.*inet strict fwd.*accept-in-other-fire/);
  await lab.run(removeIt());
  await eventually(() => lab.remote.ask({ ...ask, ...BRIEFLY }), /^192\.0\.2\.9\nbye/);
});

test(
  "a table of ours that somebody flushes is there again, with everything in it",
  without("nft"),
  async () => {
    await using lab = await Lab.make();
    const box = await web(lab);
    await inHost(lab, "nft", "flush", "ruleset");
    await eventually(() => lab.remote.ask({ ...ask, ...BRIEFLY }), /^192\.0\.2\.9\nbye/);
    assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
  },
);

test(
  "a chain that ends by rejecting is one that drops (as firewalld's does)",
  without("nft"),
  async () => {
    await using lab = await Lab.make();
    const rules = [
      "add table inet firewalld",
      "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }",
      "add rule inet firewalld filter_FORWARD ct state established,related accept",
      "add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited",
    ].join("\n");
    await inHost(lab, "nft", rules);
    const box = await web(lab);
    assert.equal(await lab.remote.ask(ask), `${REMOTE}\nbye`);
    assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
    await inHost(lab, "nft", `delete table inet firewalld\n${rules}`);
    await eventually(() => lab.remote.ask({ ...ask, ...BRIEFLY }), /^192\.0\.2\.9\nbye/);
  },
);

test(
  "beside iptables-nft the rule is in DOCKER-USER, and its tables stay listable",
  without("iptables-nft"),
  async () => {
    await using lab = await Lab.make();
    const iptables = (...args: string[]) => inHost(lab, "iptables-nft", ...args);
    await iptables("-P", "FORWARD", "DROP");
    await iptables("-N", "DOCKER-USER");
    await iptables("-A", "FORWARD", "-j", "DOCKER-USER");
    const box = await web(lab);
    assert.equal(await lab.remote.ask(ask), `${REMOTE}\nbye`);
    assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
    const rules = await iptables("-S");
    assert.match(
      rules,
      /-A DOCKER-USER -m mark --mark 0x8000000\/0x8000000 .*"gantry gantry_gantry0" -j ACCEPT/,
    );
    await iptables("-F", "DOCKER-USER");
    await eventually(() => lab.remote.ask({ ...ask, ...BRIEFLY }), /^192\.0\.2\.9\nbye/);
    await box.end();
    await lab.network.stop();
    assert.doesNotMatch(await iptables("-S"), /gantry/);
  },
);

test(
  "the tables of iptables-legacy are seen and passed, too",
  without("iptables-legacy"),
  async (t) => {
    await using lab = await Lab.make();
    const iptables = (...args: string[]) => inHost(lab, "iptables-legacy", ...args);
    const works = await iptables("-P", "FORWARD", "DROP").then(
      () => true,
      () => false,
    );
    if (!works) return t.skip("the kernel has no ip_tables");
    const box = await web(lab);
    assert.equal(await lab.remote.ask(ask), `${REMOTE}\nbye`);
    assert.equal(await box.agent.ask({ do: "tcp", host: REMOTE, port: 7000 }), `${HOST}\nbye`);
    assert.match(await iptables("-S", "FORWARD"), /-A FORWARD .*gantry gantry_gantry0.* -j ACCEPT/);
    await box.end();
    await lab.network.stop();
    assert.doesNotMatch(await iptables("-S"), /gantry/);
  },
);
