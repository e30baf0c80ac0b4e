// As engine-failures, for a container on the bridge with a published port, in a network namespace
// of its own: no interface, firewall element or listening port is left by a start that failed.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { silentLogger } from "../../src/base/index.ts";
import { libraryOptions } from "../../src/daemon/library-options.ts";
import { createEngine } from "../../src/daemon/wire-engine.ts";
import { EngineFixture, IMAGE } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";
import { Saboteur } from "../support/saboteur.ts";

const INSIDE = "GANTRY_TEST_INSIDE_NETNS";
const run = promisify(execFile);

if (process.env[INSIDE] === undefined) {
  test("a start that fails leaves nothing in the network either", async () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const self = fileURLToPath(import.meta.url);
    const child = spawn("unshare", ["-n", process.execPath, "--test-reporter=tap", self], {
      env: { ...env, [INSIDE]: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0, output);
  });
} else {
  test("whichever operation of a start on the bridge fails, its network is given back", async () => {
    await run("ip", ["link", "set", "lo", "up"]);
    const network = { bridge: "" };
    await using fixture = await EngineFixture.make({ network });
    await fixture.close();
    const saboteur = new Saboteur();
    const options = await libraryOptions(fixture.options);
    const { wrap: wrapNative } = saboteur;
    const engine = await createEngine(options.engine, options.network, silentLogger, {
      wrapNative,
    });
    const { id } = await engine.containers.create({
      config: { Image: IMAGE, Cmd: ["true"], ExposedPorts: { "80/tcp": {} } },
      hostConfig: {
        NetworkMode: "bridge",
        PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "18080" }] },
      },
    });
    await saboteur.failEach(engine, id, async () => ({
      ...(await kernelState({
        cgroupParent: fixture.options.cgroupParent!,
        marker: fixture.root,
      })),
      firewall: (await run("nft", ["list", "ruleset"])).stdout,
      listening: await listening(),
    }));
    const { done } = await engine.containers.wait(id, "next-exit");
    await engine.containers.start(id);
    assert.equal((await done).exitCode, 0);
    await engine.close();
  });
}

/** Local addresses of listening TCP sockets of this network namespace. */
async function listening(): Promise<string[]> {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8")),
  );
  return tables
    .flatMap((table) => table.split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === "0A")
    .map(([, local]) => local ?? "")
    .sort();
}
