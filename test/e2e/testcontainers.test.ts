// testcontainers, with its reaper enabled, against our daemon: its ways of waiting, exec, files,
// networks, reuse and stop; and what the reaper removes when a test's process is killed.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { importReaperImages, REAL_RYUK } from "../support/reaper-images.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run, Session } from "./process.ts";

const CHILD = fileURLToPath(new URL("../support/testcontainers-child.ts", import.meta.url));
const SCENARIO_DEADLINE_MS = 180_000;
const SESSION = "org.testcontainers.session-id";

describe("testcontainers", { skip: whyNoDaemon(), concurrency: 2 }, () => {
  let daemon: TestDaemon;
  let environment: Record<string, string> = {};
  before(async () => {
    daemon = await startDaemon({ bare: true });
    await importReaperImages(daemon.dockerode);
    const context = join(daemon.folder, "context");
    await mkdir(context);
    const lines = [
      "FROM app:test",
      "ARG WORD",
      "ENV WORD=$WORD",
      'CMD ["seq","echo from built","sleep"]',
    ];
    await writeFile(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
    environment = {
      ...daemon.env,
      CONTEXT: context,
      TMPDIR: daemon.folder, // where processes that share a reaper keep their lock
      TESTCONTAINERS_HOST_OVERRIDE: "127.0.0.1",
      TESTCONTAINERS_RYUK_RECONNECTION_TIMEOUT: "5s",
    };
  });
  after(() => daemon.stop());

  /** In the daemon's network namespace, where the ports are. */
  const command = (scenario: string) =>
    ["-t", String(daemon.holderPid), "-n", "--", process.execPath, CHILD, scenario] as const;

  async function scenario(name: string): Promise<void> {
    const deadlineMs = SCENARIO_DEADLINE_MS;
    const done = await run("nsenter", command(name), { env: environment, deadlineMs });
    assert.equal(done.code, 0, `${done.stdout}${done.stderr}`);
  }

  test("waits for a line of the log", () => scenario("wait-log"));
  test("waits for a line to come several times", () => scenario("wait-log-times"));
  test("waits for ports that listen", () => scenario("wait-port"));
  test("waits for a health check", () => scenario("wait-health"));
  test("waits for an answer over HTTP", () => scenario("wait-http"));
  test("says when what it waits for does not come", () => scenario("wait-fails"));
  test("runs commands in a container", () => scenario("exec"));
  test("copies files in and out", () => scenario("files"));
  test("puts containers on networks with aliases", () => scenario("networks"));
  test("finds a container again to reuse it", () => scenario("reuse"));
  test("stops, commits and keeps a container", () => scenario("stop"));
  test("builds an image from a Dockerfile", () => scenario("build"));
});

const name = REAL_RYUK === undefined ? "a reaper that speaks Ryuk's protocol" : "Ryuk";
describe(`${name} beside testcontainers`, { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ bare: true });
    await importReaperImages(daemon.dockerode);
  });
  after(() => daemon.stop());

  test("removes what a killed process left, and ends", { timeout: 180_000 }, async () => {
    const docker = daemon.dockerode;
    const env = {
      ...daemon.env,
      TMPDIR: daemon.folder,
      TESTCONTAINERS_HOST_OVERRIDE: "127.0.0.1",
      TESTCONTAINERS_RYUK_RECONNECTION_TIMEOUT: "1s",
    };
    const args = ["-t", String(daemon.holderPid), "-n", "--", process.execPath, CHILD, "abandon"];
    const child = new Session("nsenter", args, env);
    let removals: Promise<unknown>[] = [];
    let network = "";
    try {
      await child.until(/^ready \w+ \w+$/m);
      const ready = /^ready (\w+) (\w+)$/m.exec(child.text)!;
      network = ready[2]!;
      const all = await docker.listContainers();
      const reaper = all.find(({ Names }) => /testcontainers-ryuk/.test(Names[0]!));
      assert.ok(reaper, "the reaper runs");
      assert.ok(all.some(({ Id, Labels }) => Id === ready[1] && SESSION in Labels));
      removals = [ready[1]!, reaper.Id].map((id) =>
        docker.getContainer(id).wait({ condition: "removed" }),
      );
    } finally {
      child.child.kill("SIGKILL");
    }
    await child.exitCode();
    await Promise.all(removals);
    assert.deepEqual(await docker.listContainers({ all: true }), []);
    await assert.rejects(docker.getNetwork(network).inspect(), { statusCode: 404 });
  });
});
