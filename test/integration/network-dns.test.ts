// Names within networks: who is found, by whom, what is asked of others, and what goes on while the
// daemon or the resolver itself has ended. Real sockets in real namespaces.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HOST, Lab, REMOTE } from "../support/network-lab.ts";

const resolverPid = async (lab: Lab): Promise<number> => {
  const { connectResident } = await import("../../src/network/resident-client.ts");
  const kind = { called: "resolver", greeting: "gantry-resolver 2" };
  const client = (await connectResident(kind, `${lab.dir}/resolver.sock`))!;
  client.close();
  return client.pid;
};
const on = (networkName: string, names: string[], servers: string[] = []) => ({
  networkName,
  dns: { names, servers },
});

test("containers of a network find one another by name, those of others do not", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "one", EnableIPv6: true });
  await lab.network.createNetwork({ Name: "two" });
  const a = await lab.container([], "a", on("one", ["alpha", "Both"]));
  const b = await lab.container([], "b", on("one", ["beta", "both"]));
  const c = await lab.container([], "c", on("two", ["gamma"]));
  const ask = (from: typeof a, name: string, type = "A") =>
    from.agent.ask({ do: "dns", name, type });
  assert.equal(await ask(a, "beta"), b.address);
  assert.equal(await ask(a, "BETA"), b.address);
  assert.equal(await ask(b, "alpha", "AAAA"), a.attachment.record.ipv6!.address);
  assert.equal(await ask(b, "both"), [a.address, b.address].sort().join(" "));
  assert.equal(await ask(c, "gamma", "AAAA"), "ENODATA");
  assert.equal(await ask(c, "alpha"), "ENOTFOUND");
  assert.equal(await ask(a, "gamma"), "ENOTFOUND");
  assert.equal(await ask(a, b.address, "PTR"), "b.one");
  assert.equal(await ask(a, a.attachment.record.ipv6!.address, "PTR"), "a.one");
  await b.end();
  assert.equal(await ask(a, "beta"), "ENOTFOUND");
  assert.equal(await ask(a, "both"), a.address);
});

test("other names are asked of the servers, through the container's own network", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "one" });
  await lab.remote.ask({ do: "serve-dns", host: REMOTE, answer: "remote" });
  await lab.host.ask({ do: "serve-dns", host: "127.0.0.1", answer: "host" });
  const a = await lab.container([], "a", on("one", ["a"], [REMOTE]));
  const b = await lab.container([], "b", on("one", ["b"], ["127.0.0.1@host"]));
  assert.equal(await a.agent.ask({ do: "dns", name: "x.example", type: "TXT" }), "remote");
  assert.equal(await a.agent.ask({ do: "dns", name: "X.example", type: "TXT" }), "remote");
  assert.equal(await b.agent.ask({ do: "dns", name: "x.example", type: "TXT" }), "host");
});

test("a server that refuses or is silent is followed by the next", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "one" });
  await lab.host.ask({ do: "serve-dns", host: HOST, answer: "refuse" });
  await lab.remote.ask({ do: "serve-dns", host: REMOTE, answer: "found" });
  const a = await lab.container([], "a", on("one", ["a"], [HOST, REMOTE]));
  assert.equal(await a.agent.ask({ do: "dns", name: "y.example", type: "TXT" }), "found");
  const b = await lab.container([], "b", on("one", ["b"], [HOST]));
  assert.equal(await b.agent.ask({ do: "dns", name: "y.example", type: "TXT" }), "EREFUSED");
});

test("an answer that is too long for a datagram comes over TCP", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "one" });
  await lab.remote.ask({ do: "serve-dns", host: REMOTE, answer: "long" });
  const a = await lab.container([], "a", on("one", ["a"], [REMOTE]));
  const answer = await a.agent.ask({ do: "dns", name: "z.example", type: "TXT" });
  assert.equal(answer, "x".repeat(200));
});

test("a container may have a name server of its own on port 53", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "one" });
  const a = await lab.container([], "a", on("one", ["alpha"]));
  assert.equal(await a.agent.ask({ do: "serve-dns", host: "0.0.0.0", answer: "own" }), "ok");
  assert.equal(await a.agent.ask({ do: "dns", name: "alpha", type: "A" }), a.address);
});

test("names outlive the daemon, and the resolver's own end", async () => {
  await using lab = await Lab.make();
  await lab.network.createNetwork({ Name: "one" });
  const a = await lab.container([], "a", on("one", ["alpha"]));
  const b = await lab.container([], "b", on("one", ["beta"]));
  const ask = () => a.agent.ask({ do: "dns", name: "beta", type: "A" });
  const pid = await resolverPid(lab);
  await lab.network.stop();
  await lab.open();
  assert.equal(await resolverPid(lab), pid, "the resolver is the same");
  assert.equal(await ask(), b.address);
  process.kill(pid, "SIGKILL");
  let again = "ECONNREFUSED";
  for (let turn = 0; turn < 20 && again !== b.address; turn++) again = await ask();
  assert.equal(again, b.address);
  assert.notEqual(await resolverPid(lab), pid);
});
