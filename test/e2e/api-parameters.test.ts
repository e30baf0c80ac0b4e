// Parameters and fields of the API that the coverage tool (docs/internals/coverage.md) found
// missing.

import assert from "node:assert/strict";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const OWN = JSON.stringify({
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : "arm64",
});
const POOL = "base=10.77.0.0/16,size=24";
const OTHER = JSON.stringify({ os: "linux", architecture: "s390x" });

describe("parameters of the API", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ args: ["--default-address-pool", POOL] });
  });
  after(() => daemon.stop());

  async function ask(method: string, path: string): Promise<{ status: number; body: unknown }> {
    return await new Promise((resolve, reject) => {
      const call = request({ socketPath: daemon.socket, method, path }, async (answer) => {
        const body = await text(answer);
        resolve({
          status: answer.statusCode ?? 0,
          body: body === "" ? undefined : JSON.parse(body),
        });
      });
      call.on("error", reject);
      call.end();
    });
  }

  test("history is that of the platform that is asked for", async () => {
    const own = await ask("GET", `/images/${IMAGE}/history?platform=${encodeURIComponent(OWN)}`);
    assert.equal(own.status, 200);
    assert.deepEqual(own.body, (await ask("GET", `/images/${IMAGE}/history`)).body);
    const other = `/images/${IMAGE}/history?platform=${encodeURIComponent(OTHER)}`;
    assert.equal((await ask("GET", other)).status, 404);
    // Versions that did not have the parameter do not look at it.
    assert.equal((await ask("GET", `/v1.47${other}`)).status, 200);
  });

  test("removing a platform that an image does not have removes nothing", async () => {
    await daemon.ok("tag", IMAGE, "spare");
    const path = (platform: string) => `/images/spare?platforms=${encodeURIComponent(platform)}`;
    assert.equal((await ask("DELETE", path(OTHER))).status, 404);
    assert.equal((await ask("GET", "/images/spare/json")).status, 200);
    assert.equal((await ask("DELETE", path(OWN))).status, 200);
    assert.equal((await ask("GET", "/images/spare/json")).status, 404);
  });

  test("stats say which system's they are, from the version on that has the field", async () => {
    const id = await daemon.ok("run", "-d", IMAGE, "/bin/sleep", "600");
    const stats = `/containers/${id}/stats?stream=0&one-shot=1`;
    const { body } = await ask("GET", stats);
    assert.equal((body as { os_type?: string }).os_type, "linux");
    assert.ok(!Object.hasOwn((await ask("GET", `/v1.51${stats}`)).body as object, "os_type"));
  });

  test("info names the firewall and the address pools that were chosen", async () => {
    const { body } = await ask("GET", "/info");
    const { DefaultAddressPools, FirewallBackend } = body as Record<string, unknown>;
    assert.deepEqual(DefaultAddressPools, [{ Base: "10.77.0.0/16", Size: 24 }]);
    assert.deepEqual(FirewallBackend, { Driver: "nftables" });
    const old = (await ask("GET", "/v1.48/info")).body as object;
    assert.ok(!Object.hasOwn(old, "FirewallBackend"));
  });

  test("a network is found only in the scope that is asked for", async () => {
    assert.equal((await ask("GET", "/networks/bridge?scope=local")).status, 200);
    assert.equal((await ask("GET", "/networks/bridge?scope=swarm")).status, 404);
  });
});
