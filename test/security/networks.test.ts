// What a container is given of networks that it did not ask for: IPv6 from its neighbours, routes
// by announcement, names from the outside on an internal network, and services of the engine.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type Docker from "dockerode";
import { whyNoDaemon } from "../e2e/harness.ts";
import { Prison } from "./prison.ts";

const EVERYWHERE = ["eth0/disable_ipv6", "eth0/accept_ra"];

describe("networks that were not asked for", { skip: whyNoDaemon() }, () => {
  let prison: Prison;
  before(async () => {
    prison = await Prison.make();
  });
  after(() => prison?.[Symbol.asyncDispose]());

  const settings = async (NetworkMode: string): Promise<string[]> => {
    const files = EVERYWHERE.map((name) => `/proc/sys/net/ipv6/conf/${name}`);
    const { output } = await prison.run(["cat", ...files], { NetworkMode });
    return output.trim().split("\n");
  };

  async function withNetwork(
    options: Partial<Docker.NetworkCreateOptions>,
    work: (name: string) => Promise<void>,
  ): Promise<void> {
    const Name = `n${Math.random().toString(36).slice(2)}`;
    const network = await prison.docker.createNetwork({ ...options, Name });
    try {
      await work(Name);
    } finally {
      await network.remove();
    }
  }

  test("an interface without an IPv6 address has no IPv6 at all", async () => {
    assert.equal((await settings("bridge"))[0], "1");
    await withNetwork({}, async (name) => assert.equal((await settings(name))[0], "1"));
    await withNetwork({ EnableIPv6: true }, async (name) => {
      assert.equal((await settings(name))[0], "0");
    });
  });

  test("the host takes no route from what containers announce", async () => {
    const container = await prison.start(["sleep"], { NetworkMode: "bridge" });
    const { Options } = await prison.docker.getNetwork("bridge").inspect();
    const bridge = Options?.["com.docker.network.bridge.name"];
    const file = `/proc/sys/net/ipv6/conf/${bridge}/accept_ra`;
    const said = await prison.daemon.onHost("cat", file);
    assert.equal(said.stdout.trim() || said.stderr, "0");
    await container.remove({ force: true });
  });

  test("an internal network has no way to anybody's resolver", async () => {
    await withNetwork({ Internal: true }, async (name) => {
      const { output } = await prison.run(["cat", "/proc/net/route", "/etc/resolv.conf"], {
        NetworkMode: name,
      });
      assert.doesNotMatch(output, /^eth0\s+00000000/m, "there is a default route");
      const servers = [...output.matchAll(/^nameserver (\S+)/gm)].map(([, address]) => address);
      assert.deepEqual(servers, ["127.0.0.11"]);
    });
  });
});
