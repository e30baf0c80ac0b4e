// A genuine Debian from the host's own apt, made by a daemon that reaches the mirror through the
// host's proxy alone. Skips where apt, or its mirror, is not there.
// test-deadline: 900 s, since a mirror may be slow

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { payloadProgram } from "../payload/payload.ts";
import { whyNoDebian } from "../support/debian-mirror.ts";
import { type HostProxy, startHostProxy } from "../support/host-proxy.ts";
import { TestDaemon, whyNoDaemon } from "./harness.ts";

const BOOTSTRAP_DEADLINE_MS = 600_000;

const skip = whyNoDaemon() || (await whyNoDebian());

describe("image bootstrap", { skip }, () => {
  let daemon: TestDaemon;
  let proxy: HostProxy;
  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "gantry-e2e-"));
    daemon = new TestDaemon(folder, await payloadProgram(), { bare: true, client: "gantry" });
    await daemon.hold();
    proxy = await startHostProxy(folder, daemon.namespacesPid);
    process.env["http_proxy"] = proxy.url;
    await daemon.start();
  });
  after(async () => {
    delete process.env["http_proxy"];
    await proxy.close();
    await daemon.stop();
  });

  test("debian:bookworm is made, runs, and has every package installed", async () => {
    const options = ["--variant", "apt", "--include", "ca-certificates"];
    const command = ["image", "bootstrap", "-q", ...options, "debian:bookworm"];
    const made = await daemon.client(command, { deadlineMs: BOOTSTRAP_DEADLINE_MS });
    assert.equal(made.code, 0, made.stderr);
    const id = made.stdout.trim();
    assert.match(id, /^sha256:[0-9a-f]{64}$/);
    const script =
      ". /etc/os-release; echo $ID $VERSION_CODENAME; dpkg --audit; " +
      "dpkg -l | tail -n +6 | cut -c 1-3 | sort -u; ls /var/lib/apt/lists /mnt; " +
      "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt";
    const run = ["run", "--rm", "--network", "none", "debian:bookworm", "bash", "-c", script];
    assert.match(await daemon.ok(...run), /^debian bookworm\nii \n.*\n\d+$/s);
    const layers = await daemon.ok("image", "inspect", "-f", "{{len .RootFS.Layers}}", id);
    assert.equal(layers, "1");
    assert.equal(await daemon.ok("images", "-aq", "--no-trunc"), id);
    assert.equal(await daemon.ok("ps", "-aq"), "");
    assert.equal((await daemon.client(["image", "verify", "debian:bookworm"])).code, 0);
  });

  test("a suite that no mirror has fails with apt's words and leaves nothing", async () => {
    const before = await daemon.ok("images", "-aq");
    const { code, stderr } = await daemon.client(["image", "bootstrap", "debian:nosuchsuite"]);
    assert.equal(code, 1);
    assert.match(stderr, /apt-get failed.*nosuchsuite/s);
    assert.equal(await daemon.ok("images", "-aq"), before);
  });
});
