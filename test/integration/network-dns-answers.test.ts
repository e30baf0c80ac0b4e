// What the resolver says, byte by byte: types that a name does not have, EDNS and truncation, TCP,
// links, localhost, and how it deals with the servers that it asks.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Question } from "../support/dns-message.ts";
import type { Told } from "../support/dns-probe.ts";
import { type Container, HOST, Lab, REMOTE } from "../support/network-lab.ts";

const PROBE = new URL("../support/dns-probe.ts", import.meta.url);
const SILENT = "192.0.2.77"; // nobody has this address
const on = (names: string[], servers: string[] = [], networkName = "one") => ({
  networkName,
  dns: { names, servers },
});
const ask = (from: Container, question: Question) => from.agent.call<Told>(PROBE, "ask", question);
const serve = (lab: Lab, where: "host" | "remote", host: string, manner: string) =>
  lab[where].call(PROBE, "serve", host, manner);
type Seen = { port: number; id: number; name: string; tcp: boolean }[];

describe("names of a network", () => {
  let lab: Lab;
  let a: Container;
  let others: Container[];
  before(async () => {
    lab = await Lab.make();
    await lab.network.createNetwork({ Name: "one" });
    a = await lab.container([], "a", on(["alpha", "Web_1"]));
    others = [
      await lab.container([], "b", on(["beta", "many"])),
      await lab.container([], "c", on(["gamma", "many."])),
    ];
  });
  after(() => lab[Symbol.asyncDispose]());

  test("a type that a name does not have is an empty answer, not an error", async () => {
    for (const type of ["AAAA", "MX", "TXT", "SRV", "HTTPS", "ANY", "PTR", "SOA"]) {
      const { rcode, answers } = await ask(a, { name: "beta", type });
      assert.deepEqual({ type, rcode, answers }, { type, rcode: 0, answers: [] });
    }
  });

  test("letters' cases and underscores are no matter, and the question comes back as it was", async () => {
    for (const name of ["web_1", "WEB_1", "wEb_1"]) {
      const told = await ask(a, { name });
      assert.equal(told.question, name);
      assert.deepEqual(told.answers, [a.address]);
    }
  });

  test("several addresses of a name take turns", async () => {
    const first = new Set<string | undefined>();
    for (let turn = 0; turn < 4; turn++) {
      const { answers } = await ask(a, { name: "many" });
      assert.deepEqual(answers.toSorted(), others.map(({ address }) => address).toSorted());
      first.add(answers[0]);
    }
    assert.equal(first.size, 2);
  });

  test("localhost is oneself, whoever asks", async () => {
    assert.deepEqual((await ask(a, { name: "localhost" })).answers, ["127.0.0.1"]);
    assert.deepEqual((await ask(a, { name: "x.LocalHost", type: "AAAA" })).answers, [
      "0:0:0:0:0:0:0:1",
    ]);
    assert.equal((await ask(a, { name: "notlocalhost" })).rcode, 3);
  });

  test("without servers a plain name does not exist, and of others nothing is known", async () => {
    assert.equal((await ask(a, { name: "nobody" })).rcode, 3);
    assert.equal((await ask(a, { name: "nobody.example" })).rcode, 2);
  });

  test("what does not fit into a datagram is cut, and whole over TCP", async () => {
    const crowd = Array.from({ length: 60 }, (_, i) => `10.9.8.${i + 1}`);
    await lab.network.createNetwork({ Name: "crowded" });
    const box = await lab.container([], "d", on(["d"], [], "crowded"));
    const { connectResident } = await import("../../src/network/resident-client.ts");
    const kind = { called: "resolver", greeting: "gantry-resolver 2" };
    const client = (await connectResident(kind, `${lab.dir}/resolver.sock`))!;
    const { networkId } = box.attachment.record;
    const said = await client.ask(`set ${networkId} crowd ${crowd.join(",")}`);
    assert.deepEqual(said, { errno: undefined, count: 60, items: [] });
    client.close();
    const plain = await ask(box, { name: "crowd" });
    assert(plain.truncated && plain.bytes <= 512 && plain.answers.length > 20);
    const roomy = await ask(box, { name: "crowd", edns: 4096 });
    assert(roomy.bytes <= 1232 && !roomy.truncated && roomy.answers.length === 60);
    const [whole] = await box.agent.call<Told[]>(PROBE, "askTogether", [{ name: "crowd" }]);
    assert.equal(whole!.answers.length, 60);
    await box.end();
  });

  test("questions in one stream are answered in their order", async () => {
    const names = Array.from({ length: 200 }, (_, i) => ["alpha", "nobody", "localhost"][i % 3]!);
    const questions = names.map((name, id) => ({ name, id }));
    const told = await a.agent.call<Told[]>(PROBE, "askTogether", questions);
    assert.deepEqual(
      told.map(({ question }) => question),
      names,
    );
  });

  test("one sandbox cannot hold all connections, nor be answered without reading", async () => {
    assert.equal(await a.agent.call(PROBE, "occupy", 100), 64);
    const taken = await a.agent.call<number>(PROBE, "neverRead", "many");
    assert(taken > 0, "questions are not taken for ever");
    assert.deepEqual((await ask(a, { name: "alpha" })).answers, [a.address]);
  });

  test("a link is a name of the container's own", async () => {
    const linked = await lab.container([], "l", {
      networkName: "one",
      dns: { names: ["linked"], links: { DB: "beta", gone: "nobody" } },
    });
    assert.deepEqual((await ask(linked, { name: "db" })).answers, [others[0]!.address]);
    assert.equal((await ask(linked, { name: "gone" })).rcode, 3);
    assert.equal((await ask(a, { name: "db" })).rcode, 3);
    await linked.end();
  });
});

describe("servers that the resolver asks", () => {
  test("one that refuses costs nothing, one that is silent is asked last afterwards", async () => {
    await using lab = await Lab.make();
    await lab.network.createNetwork({ Name: "one" });
    await serve(lab, "remote", REMOTE, "good");
    // Nobody listens on HOST: its kernel says so at once.
    const refused = await lab.container([], "a", on(["a"], [HOST, REMOTE]));
    const alone = await lab.container([], "b", on(["b"], [HOST]));
    const silent = await lab.container([], "c", on(["c"], [SILENT, REMOTE]));
    const order: string[] = [];
    const note = async (what: string, from: Container, name: string) => {
      const told = await ask(from, { name });
      order.push(what);
      return told;
    };
    const waits = note("silent", silent, "one.example");
    assert.deepEqual((await note("refused", refused, "two.example")).answers, ["198.51.100.7"]);
    assert.equal((await note("alone", alone, "three.example")).rcode, 2);
    assert.deepEqual((await waits).answers, ["198.51.100.7"]);
    assert.deepEqual(order, ["refused", "alone", "silent"]);
    // Another one waits for the silent server; who knows it already does not.
    const fresh = await lab.container([], "d", on(["d"], [SILENT, REMOTE]));
    const waitsToo = note("fresh", fresh, "four.example");
    assert.deepEqual((await note("again", silent, "five.example")).answers, ["198.51.100.7"]);
    await waitsToo;
    assert.deepEqual(order.slice(3), ["again", "fresh"]);
  });

  test("each question is asked from another port, with another id", async () => {
    await using lab = await Lab.make();
    await lab.network.createNetwork({ Name: "one" });
    await serve(lab, "remote", REMOTE, "good");
    const a = await lab.container([], "a", on(["a"], [REMOTE]));
    for (let i = 0; i < 20; i++) await ask(a, { name: `n${i}.example`, id: 7 });
    const seen = await lab.remote.call<Seen>(PROBE, "seen");
    assert.equal(seen.length, 20);
    assert(new Set(seen.map(({ port }) => port)).size >= 18);
    assert(new Set(seen.map(({ id }) => id)).size >= 18);
  });

  test("answers by way of an alias come through, and are kept for the container alone", async () => {
    await using lab = await Lab.make();
    await lab.network.createNetwork({ Name: "one" });
    await serve(lab, "remote", REMOTE, "cname");
    const a = await lab.container([], "a", on(["a"], [REMOTE]));
    const b = await lab.container([], "b", on(["b"], [REMOTE]));
    for (const name of ["www.example", "WWW.example", "www.EXAMPLE"]) {
      const told = await ask(a, { name, edns: 1232 });
      assert.equal(told.question, name);
      assert.equal(told.answers[1], "198.51.100.7");
    }
    assert.equal((await lab.remote.call<Seen>(PROBE, "seen")).length, 1);
    await ask(b, { name: "www.example", edns: 1232 });
    assert.equal((await lab.remote.call<Seen>(PROBE, "seen")).length, 2);
  });

  test("more questions over TCP than there are sockets are answered all the same", async () => {
    await using lab = await Lab.make();
    await lab.network.createNetwork({ Name: "one" });
    await serve(lab, "remote", REMOTE, "slow");
    const a = await lab.container([], "a", on(["a"], [REMOTE]));
    const told = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        a.agent.call<Told[]>(PROBE, "askTogether", [{ name: `t${i}.example` }]),
      ),
    );
    assert.deepEqual(
      told.map(([one]) => one!.answers),
      told.map(() => ["198.51.100.7"]),
    );
  });

  test("a container that is left on internal networks only asks nobody any more", async () => {
    await using lab = await Lab.make();
    await lab.network.createNetwork({ Name: "one" });
    await serve(lab, "host", "127.0.0.1", "good");
    const a = await lab.container([], "a", on(["a"], ["127.0.0.1@host"]));
    assert.equal((await ask(a, { name: "x.example" })).rcode, 0);
    await lab.network.rename(a.attachment.record, { servers: [] });
    assert.equal((await ask(a, { name: "y.example" })).rcode, 2);
    assert.deepEqual((await ask(a, { name: "a" })).answers, [a.address]);
    // And when the host's servers change, they are asked from then on.
    await lab.network.rename(a.attachment.record, { servers: ["127.0.0.1@host"] });
    assert.equal((await ask(a, { name: "y.example" })).rcode, 0);
  });

  test("where nftables cannot be used the sockets are on port 53 themselves", async () => {
    await using lab = await Lab.make({ iptables: false });
    await lab.network.createNetwork({ Name: "one" });
    const a = await lab.container([], "a", on(["alpha"]));
    assert.deepEqual((await ask(a, { name: "alpha" })).answers, [a.address]);
  });
});
