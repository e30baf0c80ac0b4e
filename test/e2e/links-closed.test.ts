// --icc=false with --link: the linking container reaches the ports that the linked one exposes,
// also after that one has come back at another address; nobody else does.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const noFilter =
  !existsSync("/proc/sys/net/bridge/bridge-nf-call-iptables") && "needs br_netfilter in the kernel";

describe("links where containers may not talk", { skip: whyNoDaemon() || noFilter }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ args: ["--icc=false"] });
  });
  after(() => daemon.stop());

  const address = (name: string) =>
    daemon.ok("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name);
  const exec = async (name: string, to: string, port: number) => {
    const how = ["connect", "tcp", to, String(port), "700"];
    return (await daemon.client(["exec", name, ...how])).stdout;
  };

  test("exposed ports are open to the linking container, wherever the linked one is", async () => {
    const serve = ["run", "-d", "--name", "db", "--expose", "5432", IMAGE, "listen", "tcp", "5432"];
    await daemon.ok(...serve);
    await daemon.ok("exec", "-d", "db", "listen", "tcp", "81");
    await daemon.ok("run", "-d", "--name", "app", "--link", "db", IMAGE, "sleep");
    await daemon.ok("run", "-d", "--name", "stranger", IMAGE, "sleep");
    const first = await address("db");
    assert.match(await exec("app", first, 5432), /^hello from /);
    assert.equal(await exec("app", first, 81), "");
    assert.equal(await exec("stranger", first, 5432), "");

    await daemon.ok("stop", "-t", "0", "db");
    for (let thief = ""; thief === "" || (await address(thief)) !== first; ) {
      thief = await daemon.ok("run", "-d", IMAGE, "listen", "tcp", "5432");
    }
    assert.equal(await exec("app", first, 5432), "", "the next owner of the address is no link");
    await daemon.ok("start", "db");
    const second = await address("db");
    assert.notEqual(second, first);
    assert.match(await exec("app", second, 5432), /^hello from /);
    await daemon.restart();
    assert.match(await exec("app", second, 5432), /^hello from /, "the daemon has been restarted");

    await daemon.ok("network", "disconnect", "bridge", "db");
    for (let thief = ""; thief === "" || (await address(thief)) !== second; ) {
      thief = await daemon.ok("run", "-d", IMAGE, "listen", "tcp", "5432");
    }
    assert.equal(await exec("app", second, 5432), "", "the linked one has left the network");
    await daemon.ok("network", "connect", "bridge", "db");
    const third = await address("db");
    assert.match(await exec("app", third, 5432), /^hello from /);
    await daemon.ok("network", "disconnect", "bridge", "app");
    await daemon.ok("network", "connect", "bridge", "app");
    assert.match(await exec("app", third, 5432), /^hello from /, "the linking one has come back");
    await daemon.ok("rm", "--link", "/app/db");
    assert.equal(await exec("app", third, 5432), "");
    await daemon.ok("rm", "-f", ...(await daemon.ok("ps", "-aq")).split("\n"));
  });
});
