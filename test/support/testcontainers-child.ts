// A program that uses testcontainers, in the network namespace of the daemon under test, where the
// published ports are: `testcontainers-child.ts SCENARIO`. It ends with 0 when all is as it should.

import assert from "node:assert/strict";
import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { GenericContainer, Network, type StartedTestContainer, Wait } from "testcontainers";

const IMAGE = "app:test";
const WEB = "web:test";
const START_DEADLINE_MS = 120_000;

const make = (...command: string[]) =>
  new GenericContainer(IMAGE).withCommand(command).withStartupTimeout(START_DEADLINE_MS);

async function get(container: StartedTestContainer, path: string): Promise<string> {
  const at = { host: container.getHost(), port: container.getMappedPort(80), path, agent: false };
  return await new Promise((resolve, reject) => {
    const sent = request(at, (response) => {
      response.on("data", (chunk) => resolve(`${response.statusCode} ${chunk}`));
    });
    sent.on("error", reject).end();
  });
}

const scenarios: Record<string, () => Promise<void>> = {
  async "wait-log"() {
    const container = await make("seq", "echo first", "echo now ready", "sleep")
      .withWaitStrategy(Wait.forLogMessage(/now ready/))
      .start();
    await container.stop();
  },

  async "wait-log-times"() {
    const container = await make("lines", "5", "10")
      .withWaitStrategy(Wait.forLogMessage(/\d/, 3))
      .start();
    await container.stop({ timeout: 1000 });
  },

  async "wait-port"() {
    const container = await make("listen", "tcp", "80")
      .withExposedPorts(80)
      .withWaitStrategy(Wait.forListeningPorts())
      .start();
    assert.ok(container.getMappedPort(80) > 0);
    await container.restart();
    assert.ok(container.getMappedPort(80) > 0);
    await container.stop();
  },

  async "wait-health"() {
    const container = await make("sleep")
      .withHealthCheck({ test: ["CMD", "/bin/true"], interval: 200, retries: 5, timeout: 30_000 })
      .withWaitStrategy(Wait.forHealthCheck())
      .start();
    await container.stop();
  },

  async "wait-http"() {
    const container = await new GenericContainer(WEB)
      .withExposedPorts(80)
      .withWaitStrategy(Wait.forHttp("/ready", 80).forStatusCode(200))
      .withStartupTimeout(START_DEADLINE_MS)
      .start();
    assert.equal(await get(container, "/ready"), "200 hello\n");
    assert.equal(await get(container, "/other"), "404 hello\n");
    await container.stop();
  },

  async "wait-fails"() {
    const never = make("sleep")
      .withWaitStrategy(Wait.forLogMessage("never"))
      .withStartupTimeout(500);
    await assert.rejects(never.start(), /not received after 500ms/);
    const ends = make("exit", "3").withWaitStrategy(Wait.forOneShotStartup());
    await assert.rejects(ends.start(), /Container failed to start/);
    const once = await make("true").withWaitStrategy(Wait.forOneShotStartup()).start();
    await once.stop();
  },

  async exec() {
    const container = await make("sleep").withEnvironment({ A: "1" }).withUser("app").start();
    const done = await container.exec(["seq", "echo out", "err bad", "exit 4"]);
    assert.deepEqual([done.exitCode, done.stdout, done.stderr], [4, "out\n", "bad\n"]);
    const { output } = await container.exec(["env"], { env: { B: "2" }, workingDir: "/tmp" });
    assert.match(output, /^A=1$/m);
    assert.match(output, /^B=2$/m);
    assert.match((await container.exec(["id"])).output, /^uid=1000/);
    assert.match((await container.exec(["id"], { user: "root" })).output, /^uid=0/);
    await container.stop();
  },

  async files() {
    const container = await make("sleep")
      .withCopyContentToContainer([{ content: "given", target: "/data/given", mode: 0o600 }])
      .withCopyFilesToContainer([{ source: import.meta.filename, target: "/data/program" }])
      .withTmpFs({ "/scratch": "rw,size=1m" })
      .start();
    assert.equal((await container.exec(["cat", "/data/given"])).output, "given");
    assert.match((await container.exec(["stat", "/data/given"])).output, /mode=100600/);
    await container.copyContentToContainer([{ content: "later", target: "/data/later" }]);
    assert.equal((await container.exec(["cat", "/data/later"])).output, "later");
    let bytes = 0;
    for await (const chunk of await container.copyArchiveFromContainer("/data")) {
      bytes += (chunk as Buffer).length;
    }
    assert.ok(bytes > 1024);
    await container.stop();
  },

  async networks() {
    const network = await new Network().start();
    const server = await make("listen", "tcp", "80")
      .withNetwork(network)
      .withNetworkAliases("server")
      .withWaitStrategy(Wait.forLogMessage("listening"))
      .start();
    const other = await make("sleep")
      .withNetwork(network)
      .withExtraHosts([{ host: "x", ipAddress: "10.1.2.3" }])
      .start();
    const found = await other.exec(["resolve", "server"]);
    assert.equal(found.output.trim(), server.getIpAddress(network.getName()));
    assert.match((await other.exec(["cat", "/etc/hosts"])).output, /10\.1\.2\.3\s+x/);
    await other.stop();
    await server.stop();
    await network.stop();
  },

  async reuse() {
    const one = await make("sleep").withReuse().start();
    const two = await make("sleep").withReuse().start();
    assert.equal(one.getId(), two.getId());
    await two.stop();
  },

  async stop() {
    const container = await make("signals").withName("kept").withAutoRemove(false).start();
    const lines: string[] = [];
    (await container.logs()).on("data", (line) => lines.push(String(line)));
    const committed = await container.commit({ repo: "made", tag: "v1", deleteOnExit: true });
    assert.match(committed, /^(sha256:|made)/);
    const stopped = await container.stop({ remove: false, timeout: 30_000 });
    assert.equal(stopped.getId(), container.getId());
  },

  async build() {
    const built = await GenericContainer.fromDockerfile(process.env["CONTEXT"]!)
      .withBuildArgs({ WORD: "built" })
      .build();
    const container = await built.withWaitStrategy(Wait.forLogMessage("from built")).start();
    await container.stop();
  },

  /** Leaves everything to the reaper: this process is killed. */
  async abandon() {
    const network = await new Network().start();
    const container = await make("sleep").withNetwork(network).start();
    console.log(`ready ${container.getId()} ${network.getId()}`);
    await delay(600_000);
  },
};

const name = process.argv[2] ?? "";
const scenario = scenarios[name];
assert.ok(scenario, `There is no scenario ${name}`);
await scenario();
process.exit(0); // the connection to the reaper would keep it alive
