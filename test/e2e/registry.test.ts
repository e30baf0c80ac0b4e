// Push and pull through the stock client and through ours, against a registry that asks for tokens
// and listens on the loopback of the daemon's own network namespace.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type RegistryBeside, registryBeside } from "./fake-registry.ts";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

for (const client of ["docker", "gantry"] as const) {
  const noClient = client === "docker" && dockerPath === undefined && "needs the docker client";
  describe(`registries through ${client}`, { skip: whyNoDaemon() || noClient }, () => {
    let daemon: TestDaemon;
    let registry: RegistryBeside;
    let host: string;
    before(async () => {
      daemon = await startDaemon({ client });
      registry = await registryBeside(daemon, ["me", "secret"]);
      host = registry.host;
    });
    after(async () => {
      await registry.stop();
      await daemon.stop();
    });
    const ok = (...args: string[]) => daemon.ok(...args);

    test("a login is needed, kept and dropped", async () => {
      await ok("tag", IMAGE, `${host}/e2e/app:1`);
      const refused = await daemon.client(["push", `${host}/e2e/app:1`]);
      assert.notEqual(refused.code, 0);
      const login = ["login", "-u", "me", "--password-stdin", host];
      const wrong = await daemon.client(login, { input: "wrong" });
      assert.match(wrong.stderr, /unauthorized: incorrect username or password/);
      const right = await daemon.client(login, { input: "secret" });
      assert.match(right.stdout, /Login Succeeded/);
    });

    test("an image goes out, comes back and runs", async () => {
      const name = `${host}/e2e/app:1`;
      const id = await ok("inspect", "-f", "{{.Id}}", name);
      const pushed = await ok("push", name);
      assert.match(pushed, /: Pushed\n1: digest: sha256:[0-9a-f]{64} size: \d+$/);
      const digest = /digest: (sha256:\S+)/.exec(pushed)![1]!;
      await ok("rmi", name, IMAGE);
      const pulled = await ok("pull", name);
      assert.match(pulled, /^1: Pulling from e2e\/app\n/);
      assert.match(pulled, /: Pull complete\n/);
      assert.ok(pulled.includes(`Digest: ${digest}\nStatus: Downloaded newer image for ${name}`));
      assert.equal(await ok("inspect", "-f", "{{.Id}}", name), id);
      assert.match(await ok("pull", name), /Status: Image is up to date for/);
      await ok("rmi", name);
      await ok("run", "--rm", "--network", "none", `${host}/e2e/app@${digest}`, "/bin/true");
    });

    test("what is not there is said in docker's words", async () => {
      const { code, stderr } = await daemon.client(["pull", `${host}/e2e/app:none`]);
      assert.equal(code, 1);
      assert.ok(
        stderr.includes(
          `Error response from daemon: manifest for ${host}/e2e/app:none not found: ` +
            "manifest unknown: manifest unknown",
        ),
        stderr,
      );
      await ok("pull", `${host}/e2e/app:1`);
      await ok("logout", host);
      // Not a pull: docker's client would ask for a name and a password on stdin.
      const refused = await daemon.client(["push", `${host}/e2e/app:1`]);
      assert.notEqual(refused.code, 0);
    });
  });
}
