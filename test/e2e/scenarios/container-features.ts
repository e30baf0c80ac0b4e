// What a container is given and how it is watched: CDI devices, health checks without a process,
// statistics, the filters of ps that speak of ports and health.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { IMAGE, type TestDaemon } from "../harness.ts";

/** A folder with the spec of two devices, for --cdi-spec-dir. */
export async function describeDevices(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "gantry-cdi-"));
  const devices = [
    {
      name: "one",
      containerEdits: {
        env: ["DEVICE=one"],
        deviceNodes: [{ path: "/dev/mine", hostPath: "/dev/null", permissions: "rw" }],
        mounts: [{ hostPath: path, containerPath: "/vendor", options: ["ro"] }],
      },
    },
    {
      name: "hooked",
      containerEdits: { hooks: [{ hookName: "createContainer", path: "/bin/true" }] },
    },
  ];
  const spec = { cdiVersion: "0.6.0", kind: "vendor.test/dev", devices };
  await writeFile(join(path, "vendor.json"), JSON.stringify(spec));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export function containerFeatureScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const refused = async (...args: string[]): Promise<string> => {
    const result = await daemon().client(args);
    assert.notEqual(result.code, 0);
    return result.stderr;
  };
  const none = ["--network", "none"];

  test("a CDI device brings its node, its variables and its mounts", async () => {
    const run = (...command: string[]) =>
      ok("run", "--rm", ...none, "--device", "vendor.test/dev=one", IMAGE, ...command);
    assert.match(await run("env"), /^DEVICE=one$/m);
    await run("write", "/dev/mine", "into nothing");
    assert.match(await run("cat", "/vendor/vendor.json"), /cdiVersion/);
    assert.match(
      await refused("run", "--rm", ...none, "--device", "vendor.test/dev=two", IMAGE, "true"),
      /CDI device injection failed: unresolvable CDI devices vendor\.test\/dev=two/,
    );
    await ok("run", "--rm", ...none, "--device", "vendor.test/dev=hooked", IMAGE, "true");
  });

  test("device requests are told of by inspect, and GPUs that are not there by start", async () => {
    await ok("create", "--name", "gpu", ...none, "--gpus", "2", IMAGE, "true");
    const shown = JSON.parse(
      await ok("inspect", "-f", "{{json .HostConfig.DeviceRequests}}", "gpu"),
    );
    assert.deepEqual(shown, [
      { Driver: "", Count: 2, DeviceIDs: null, Capabilities: [["gpu"]], Options: {} },
    ]);
    assert.match(
      await refused("start", "gpu"),
      /could not select device driver "" with capabilities: \[\[gpu\]\]/,
    );
    await ok("rm", "gpu");
  });

  test("a health check that is a port needs no process of the container", async () => {
    const health = ["--health-cmd", "tcp::5432", "--health-interval", "50ms"];
    const retries = ["--health-retries", "10000"];
    const command = ["listen", "tcp", "5432"];
    const args = [...none, ...health, ...retries, "--name", "healthy", IMAGE, ...command];
    const id = await ok("run", "-d", ...args);
    const watching = daemon().session("events", "--since", "1", "--filter", `container=${id}`);
    await watching.until("health_status: healthy");
    watching.child.kill();
    await watching.exitCode().catch(() => {});
    assert.match(
      await ok("inspect", "-f", "{{json .State.Health.Log}}", "healthy"),
      /tcp:\/\/localhost:5432: connected/,
    );
    assert.equal(await ok("ps", "--filter", "health=healthy", "--format", "{{.Names}}"), "healthy");
    assert.equal(await ok("ps", "-q", "--filter", "health=unhealthy"), "");
    await ok("rm", "-f", "healthy");
  });

  test("stats shows one line a container, and its limits", async () => {
    await ok("run", "-d", "--name", "watched", ...none, "-m", "64m", IMAGE, "sleep");
    const format = "{{.Name}} {{.MemUsage}} {{.PIDs}}";
    assert.match(
      await ok("stats", "--no-stream", "--format", format, "watched"),
      /^watched \S+ \/ 64MiB 1$/,
    );
    await ok("rm", "-f", "watched");
  });

  test("stats without names follows those that start later", async () => {
    await ok("run", "-d", "--name", "early", ...none, IMAGE, "sleep");
    const shown = daemon().session("stats", "--format", "seen {{.Name}}");
    try {
      await shown.until("seen early");
      await ok("run", "-d", "--name", "late", ...none, IMAGE, "sleep");
      await shown.until("seen late");
      await ok("rm", "-f", "early");
      shown.text = "";
      // What was on its way when it went may still come; then only the other is left. Docker moves
      // its cursor between them.
      await shown.until(/(?:seen late(?:(?!seen).)*){4}/s);
      await ok("run", "-d", "--name", "early", ...none, IMAGE, "sleep");
      await shown.until("seen early");
    } finally {
      shown.child.kill("SIGKILL");
      await shown.exitCode().catch(() => {});
    }
    await ok("rm", "-f", "early", "late");
  });

  test("values that a filter cannot have are refused in docker's words", async () => {
    const ps = (filter: string) => refused("ps", "--filter", filter);
    assert.match(await ps("health=ill"), /invalid value for health \(ill\): must be one of none/);
    assert.match(await ps("status=up"), /invalid value for state \(up\): must be one of created/);
    assert.match(await ps("exited=x"), /strconv\.Atoi: parsing "x": invalid syntax/);
    assert.match(await ps("publish=70000"), /error while looking up for publish 70000/);
  });
}
