// Ways to a registry through the stock client and through ours: rules that are taken up on SIGHUP,
// search, and what the registry has under a name, in the daemon's own network namespace.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type RegistryBeside, registryBeside } from "./fake-registry.ts";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const RELOAD_DEADLINE_MS = 60_000;

for (const client of ["docker", "gantry"] as const) {
  const noClient = client === "docker" && dockerPath === undefined && "needs the docker client";
  describe(`ways to registries through ${client}`, { skip: whyNoDaemon() || noClient }, () => {
    let daemon: TestDaemon;
    let registry: RegistryBeside;
    let host: string;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "gantry-config-"));
      await writeFile(join(folder, "daemon.json"), "{}");
      const args = ["--config-file", join(folder, "daemon.json")];
      daemon = await startDaemon({ client, args });
      registry = await registryBeside(daemon);
      host = registry.host;
    });
    after(async () => {
      await registry.stop();
      await daemon.stop();
      await rm(folder, { recursive: true, force: true });
    });
    const ok = (...args: string[]) => daemon.ok(...args);

    /** Writes daemon.json, has it read, and waits until `info` shows `expected`. */
    async function configure(value: object, expected: RegExp): Promise<void> {
      await writeFile(join(folder, "daemon.json"), JSON.stringify(value));
      process.kill(Number(await readFile(join(daemon.folder, "pid"), "utf8")), "SIGHUP");
      const deadline = Date.now() + RELOAD_DEADLINE_MS;
      const shown = async (): Promise<string> => JSON.stringify(await daemon.dockerode.info());
      while (!expected.test(await shown())) {
        assert.ok(Date.now() < deadline, `info does not show ${expected}: ${await shown()}`);
        await delay(20);
      }
    }

    test("a mirror of any registry is used from the next pull on", async () => {
      await ok("tag", IMAGE, `${host}/e2e/app:1`);
      await ok("push", `${host}/e2e/app:1`);
      await ok("rmi", `${host}/e2e/app:1`);
      const refused = await daemon.client(["pull", "registry.invalid/team/app:1"]);
      assert.notEqual(refused.code, 0);
      const mirrors = ["http://127.0.0.1:1", { url: `http://${host}/e2e`, namespace: true }];
      await configure(
        { registries: { "registry.invalid/team": { mirrors } } },
        /"Prefix":"registry/,
      );
      const pulled = await ok("pull", "registry.invalid/team/app:1");
      assert.match(pulled, /Status: Downloaded newer image for registry\.invalid\/team\/app:1/);
      await ok("run", "--rm", "--network", "none", "registry.invalid/team/app:1", "/bin/true");
    });

    test("a short name is Docker Hub's, whose mirror is asked first", async () => {
      await ok("tag", IMAGE, `${host}/library/short:1`);
      await ok("push", `${host}/library/short:1`);
      await ok("rmi", `${host}/library/short:1`);
      await configure(
        {
          "registry-mirrors": [`http://${host}`],
          "insecure-registries": ["10.9.0.0/16", "x.test"],
        },
        /"Mirrors":\["http/,
      );
      await ok("pull", "short:1");
      const info = await ok("info", "--format", "{{json .RegistryConfig}}");
      const { IndexConfigs, InsecureRegistryCIDRs, Mirrors } = JSON.parse(info);
      assert.deepEqual(Mirrors, [`http://${host}/`]);
      assert.deepEqual(IndexConfigs["docker.io"], {
        Name: "docker.io",
        Mirrors: [`http://${host}/`],
        Secure: true,
        Official: true,
      });
      assert.equal(IndexConfigs["x.test"].Secure, false);
      assert.ok(InsecureRegistryCIDRs.includes("10.9.0.0/16"));
      assert.ok(InsecureRegistryCIDRs.includes("127.0.0.0/8"));
    });

    test("a blocked registry is neither asked nor sent to", async () => {
      await configure({ registries: { [host]: { blocked: true } } }, /"Blocked":true/);
      const { code, stderr } = await daemon.client(["pull", `${host}/e2e/app:1`]);
      assert.notEqual(code, 0);
      assert.match(stderr, /is blocked by the configuration of this host/);
      await configure({}, /"Mirrors":null/);
      await ok("pull", `${host}/e2e/app:1`);
    });

    test("a registry is searched, filtered and formatted", async () => {
      const term = `${host}/thing`;
      const format = "{{.Name}} {{.StarCount}} {{.IsOfficial}} {{.Description}}";
      const found = await ok("search", "--format", format, term);
      assert.deepEqual(found.split("\n"), ["thing 3 [OK] found", "thing-2 3 [OK] found"]);
      assert.equal(await ok("search", "--limit", "1", "--format", "{{.Name}}", term), "thing");
      const none = await ok("search", "--filter", "stars=4", "--format", "{{.Name}}", term);
      assert.equal(none, "");
      const table = await ok("search", "--no-trunc", term);
      assert.match(table, /^NAME +DESCRIPTION +STARS +OFFICIAL/);
      const wrong = await daemon.client(["search", "--limit", "101", term]);
      assert.match(wrong.stderr, /Limit 101 is outside the range of \[1, 100\]/i);
    });

    test("what a registry has under a name is told with its platforms", async () => {
      const answer = (await daemon.dockerode.getImage(`${host}/e2e/app:1`).distribution()) as {
        Descriptor: { digest: string; mediaType: string; size: number };
        Platforms: { os: string; architecture: string }[];
      };
      assert.match(answer.Descriptor.digest, /^sha256:[0-9a-f]{64}$/);
      assert.match(answer.Descriptor.mediaType, /manifest/);
      assert.equal(answer.Platforms[0]!.os, "linux");
    });
  });
}
