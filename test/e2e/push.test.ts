// Pushes through the stock client and through ours: what they print, what they ask, what they end
// with. The registry asks for tokens and listens in the daemon's own network namespace.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type RegistryBeside, registryBeside } from "./fake-registry.ts";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

for (const client of ["docker", "gantry"] as const) {
  const noClient = client === "docker" && dockerPath === undefined && "needs the docker client";
  describe(`pushes through ${client}`, { skip: whyNoDaemon() || noClient }, () => {
    let daemon: TestDaemon;
    let registry: RegistryBeside;
    let host: string;
    before(async () => {
      daemon = await startDaemon({ client });
      registry = await registryBeside(daemon, ["me", "secret"]);
      host = registry.host;
      for (const tag of ["1", "2"]) await daemon.ok("tag", IMAGE, `${host}/e2e/app:${tag}`);
    });
    after(async () => {
      await registry.stop();
      await daemon.stop();
    });

    test("a stranger is refused while the push is told of, and nobody is asked for a name", async () => {
      const { code, stdout, stderr } = await daemon.client(["push", `${host}/e2e/app:1`]);
      assert.equal(code, 1);
      assert.match(stdout, /^The push refers to repository \[127\.0\.0\.1:\d+\/e2e\/app\]/);
      assert.match(stderr, /unauthorized/);
      assert.doesNotMatch(stdout + stderr, /Username|Login prior/);
    });

    test("each step is a line, the digest the last", async () => {
      await daemon.client(["login", "-u", "me", "--password-stdin", host], { input: "secret" });
      const [id] = (await daemon.ok("inspect", "-f", "{{index .RootFS.Layers 0}}", IMAGE)).match(
        /(?<=sha256:)[0-9a-f]{12}/,
      )!;
      const lines = (await daemon.ok("push", `${host}/e2e/app:1`)).split("\n");
      assert.deepEqual(lines.slice(0, 3), [
        `The push refers to repository [${host}/e2e/app]`,
        `${id}: Preparing`,
        `${id}: Pushed`,
      ]);
      assert.match(lines[3]!, /^1: digest: sha256:[0-9a-f]{64} size: \d+$/);
      const again = await daemon.ok("push", `${host}/e2e/app:1`);
      assert.equal(again, lines.join("\n").replace("Pushed", "Layer already exists"));
    });

    test("--quiet prints the name, --all-tags takes every tag", async () => {
      assert.equal(await daemon.ok("push", "--quiet", `${host}/e2e/app:1`), `${host}/e2e/app:1`);
      const every = await daemon.ok("push", "--all-tags", `${host}/e2e/app`);
      assert.deepEqual(every.match(/^[12](?=: digest)/gm), ["1", "2"]);
      const both = await daemon.client(["push", "--all-tags", `${host}/e2e/app:1`]);
      assert.match(both.stderr, /tag can't be used with --all-tags\/-a/);
    });

    test("content trust is accepted and changes nothing", async () => {
      const out = await daemon.ok("push", "--disable-content-trust", `${host}/e2e/app:1`);
      assert.match(out, /1: digest: sha256:/);
    });

    test("a platform that the image has not is refused", async () => {
      const name = `${host}/e2e/app:1`;
      const { code, stderr } = await daemon.client(["push", "--platform", "linux/s390x", name]);
      assert.equal(code, 1);
      assert.match(stderr, /does not match the specified platform \(linux\/s390x\)/);
    });

    test("what is not there is named: no tag, no image, no digest", async () => {
      const none = await daemon.client(["push", `${host}/e2e/app`]);
      assert.match(none.stdout, /^Using default tag: latest\n/);
      assert.match(none.stderr, /tag does not exist: 127\.0\.0\.1:\d+\/e2e\/app:latest/);
      const unknown = await daemon.client(["push", `${host}/e2e/none:1`]);
      assert.match(unknown.stderr, /An image does not exist locally with the tag: .*\/e2e\/none\n/);
      const digest = `${host}/e2e/app@sha256:${"0".repeat(64)}`;
      const refused = await daemon.client(["push", digest]);
      assert.match(refused.stderr, /cannot push a digest reference/);
    });
  });
}
