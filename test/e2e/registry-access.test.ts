// What people see who log in to a registry of ours, push and pull, and may not: through the stock
// client and through ours. GANTRY_E2E_DAEMON=dockerd shows that docker's daemon says the same.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { passwords } from "../support/registry-access-fixture.ts";
import { dockerPath, IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const ENTRY = join(root, "test/fakes/registry-access-entry.ts");

for (const client of ["docker", "gantry"] as const) {
  const noClient = client === "docker" && dockerPath === undefined && "needs the docker client";
  describe(`access to a registry through ${client}`, { skip: whyNoDaemon() || noClient }, () => {
    let daemon: TestDaemon;
    let registry: ChildProcess;
    let host: string;
    before(async () => {
      daemon = await startDaemon({ client });
      registry = spawn(
        "nsenter",
        ["-t", String(daemon.holderPid), "-n", process.execPath, ENTRY, "token"],
        { stdio: ["pipe", "pipe", "inherit"] },
      );
      const [line] = (await once(registry.stdout!, "data")) as [Buffer];
      host = line.toString().trim();
    });
    after(async () => {
      const ended = once(registry, "exit");
      registry.stdin!.end();
      await ended;
      await daemon.stop();
    });
    const ok = (...args: string[]) => daemon.ok(...args);
    const login = (user: string, input: string) =>
      daemon.client(["login", "-u", user, "--password-stdin", host], { input });
    const refused = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await daemon.client(args);
      assert.notEqual(code, 0, stdout);
      return stderr;
    };

    test("a wrong password is told so, a right one lets in", async () => {
      const wrong = await login("ann", "wrong");
      assert.notEqual(wrong.code, 0);
      assert.match(wrong.stderr, /unauthorized: incorrect username or password/);
      assert.match((await login("ann", passwords.ann)).stdout, /Login Succeeded/);
    });

    test("who may push pushes, elsewhere the push is denied at once", async () => {
      for (const name of ["team/app", "public/app", "forbidden/app"]) {
        await ok("tag", IMAGE, `${host}/${name}:1`);
      }
      await ok("push", "-q", `${host}/team/app:1`);
      await ok("push", "-q", `${host}/public/app:1`);
      assert.match(
        await refused("push", `${host}/forbidden/app:1`),
        /denied: requested access to the resource is denied/,
      );
    });

    test("who only reads pulls and may not push", async () => {
      assert.match((await login("bob", passwords.bob)).stdout, /Login Succeeded/);
      await ok("pull", "-q", `${host}/team/app:1`);
      assert.match(
        await refused("push", `${host}/team/app:1`),
        /denied: requested access to the resource is denied/,
      );
    });

    test("without a login only what is public is there", async () => {
      await ok("logout", host);
      await ok("pull", "-q", `${host}/public/app:1`);
      assert.match(
        await refused("pull", "-q", `${host}/team/app:1`),
        /pull access denied for .*\/team\/app, repository does not exist or may require/,
      );
    });
  });
}
