// The daemon as whoever runs a machine sees it: info and version field by field, reload with its
// event, metrics that a Prometheus server can read, a dump of what it is doing.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const skip = whyNoDaemon();
const limits = { skip, timeout: 120_000 };
let folder = "";
let config = "";
let metricsSocket = "";
let daemon: TestDaemon;

before(async () => {
  if (skip) return;
  folder = await mkdtemp(join(tmpdir(), "gantry-service-"));
  config = join(folder, "daemon.json");
  metricsSocket = join(folder, "metrics.sock");
  await writeConfig({ labels: ["stage=one"] });
  const security = ["--experimental", "--no-new-privileges", "--default-ulimit", "nofile=100:200"];
  const places = ["--config-file", config, "--metrics-addr", `unix://${metricsSocket}`];
  daemon = await startDaemon({ args: [...places, ...security] });
});
after(async () => {
  await daemon?.stop();
  if (folder !== "") await rm(folder, { recursive: true, force: true });
});

const writeConfig = (values: object): Promise<void> => writeFile(config, JSON.stringify(values));

async function get(socketPath: string, path: string): Promise<{ status: number; body: string }> {
  const outgoing = request({ socketPath, path, agent: false });
  outgoing.end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return { status: response.statusCode!, body: await readAll(response) };
}
interface Info {
  ID: string;
  Labels: string[];
  ExperimentalBuild: boolean;
  SecurityOptions: string[];
  DefaultRuntime: string;
  Runtimes: Record<string, { status?: Record<string, string> }>;
  DriverStatus: string[][];
  Swarm: { LocalNodeState: string };
  RegistryConfig: object;
  RuncCommit: object;
}
const info = async (path = "/info"): Promise<Info> =>
  JSON.parse((await get(daemon.socket, path)).body);

/** Resolves when the log has the text; it is written by another process. */
async function logged(text: string): Promise<void> {
  const path = join(daemon.folder, "daemon.log");
  for (let tries = 0; tries < 1200; tries++) {
    if ((await readFile(path, "utf8")).includes(text)) return;
    await delay(50);
  }
  throw new Error(`Not in the log: ${text}\n${await daemon.log()}`);
}

test("info says who the engine is and what it can do", limits, async () => {
  const found = await info();
  assert.match(found.ID, /^[0-9a-f-]{36}$/);
  assert.equal(found.ExperimentalBuild, true);
  assert.deepEqual(found.Labels, ["stage=one"]);
  assert.ok(found.SecurityOptions.includes("name=no-new-privileges"));
  assert.ok(found.SecurityOptions.includes("name=seccomp,profile=builtin"));
  assert.equal(found.DefaultRuntime, "runc");
  const { runc } = found.Runtimes as Record<string, { status: Record<string, string> }>;
  const features = JSON.parse(runc!.status!["org.opencontainers.runtime-spec.features"]!);
  assert.ok(features.mountOptions.includes("rro"));
  assert.ok(features.linux.capabilities.includes("CAP_SYS_ADMIN"));
  assert.equal(found.DriverStatus[0]![0], "Backing Filesystem");
  assert.deepEqual(found.Swarm.LocalNodeState, "inactive");
  const old = await info("/v1.44/info");
  assert.ok("AllowNondistributableArtifactsCIDRs" in old.RegistryConfig);
  assert.ok("Expected" in old.RuncCommit);
  const version = JSON.parse((await get(daemon.socket, "/version")).body);
  assert.match(version.BuildTime, /^\d{4}-\d\d-\d\dT.*\+00:00$/);
  assert.equal(version.Experimental, true);
});

test("the engine's id outlives the daemon", limits, async () => {
  const before = (await info()).ID;
  await daemon.restart();
  assert.equal((await info()).ID, before);
});

test("what the configuration says of new containers is what they get", limits, async () => {
  const id = await daemon.ok("run", "-d", IMAGE, "sleep", "600");
  const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", id);
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  const limitsText = await readFile(`/proc/${pid}/limits`, "utf8");
  assert.match(limitsText, /^Max open files\s+100\s+200\s/m);
  const free = await daemon.ok(
    "run",
    "-d",
    "--security-opt",
    "no-new-privileges=false",
    IMAGE,
    "sleep",
    "600",
  );
  const other = await daemon.ok("inspect", "-f", "{{.State.Pid}}", free);
  assert.match(await readFile(`/proc/${other}/status`, "utf8"), /^NoNewPrivs:\s+0$/m);
  await daemon.ok("rm", "-f", id, free);
});

test(
  "SIGHUP is an event with docker's attributes, and reaches new containers",
  limits,
  async () => {
    await writeConfig({
      labels: ["stage=two"],
      "max-concurrent-downloads": 4,
      "registry-mirrors": ["https://mirror.example"],
      "insecure-registries": ["reg:5000"],
      features: { buildkit: false },
      runtimes: { x: { path: "/bin/x", runtimeArgs: ["-a"] } },
      "shutdown-timeout": 20,
      "default-shm-size": "128M",
      "log-opts": { "max-size": "1m" },
      "log-level": "debug",
      mtu: 1400,
    });
    const events = daemon.dockerode.getEvents({ filters: { type: ["daemon"] } });
    const stream = (await events) as IncomingMessage;
    const first = once(stream, "data");
    process.kill(await daemon.pid(), "SIGHUP");
    const event = JSON.parse(String((await first)[0]));
    stream.destroy();
    assert.deepEqual(
      [event.Type, event.Action, event.Actor.ID],
      ["daemon", "reload", (await info()).ID],
    );
    const { name: _, "default-cgroupns-mode": __, ...attributes } = event.Actor.Attributes;
    assert.deepEqual(attributes, {
      debug: "false",
      "default-ipc-mode": "private",
      "default-runtime": "runc",
      "default-shm-size": "134217728",
      features: "map[buildkit:false]",
      "insecure-registries": '["reg:5000"]',
      labels: '["stage=two"]',
      "live-restore": "true",
      "max-concurrent-downloads": "4",
      "max-concurrent-uploads": "5",
      "max-download-attempts": "5",
      "registry-mirrors": '["https://mirror.example"]',
      runtimes: "x:/bin/x",
      "shutdown-timeout": "20",
    });
    await logged("Option mtu has changed: the daemon takes it up when it is started again");
    const found = await info();
    assert.deepEqual(found.Labels, ["stage=two"]);
    assert.deepEqual(found.Runtimes["x"], {
      path: "/bin/x",
      runtimeArgs: ["-a"],
    });
    const id = await daemon.ok("create", IMAGE);
    const shown = await daemon.ok(
      "inspect",
      "-f",
      "{{.HostConfig.ShmSize}} {{.HostConfig.LogConfig.Config}}",
      id,
    );
    assert.equal(shown, "134217728 map[max-size:1m]");
    await daemon.ok("rm", id);
    await logged("level=debug");
  },
);

test("metrics are those of the engine and of each container", limits, async () => {
  const id = await daemon.ok(
    "run",
    "-d",
    "--name",
    "metered",
    "--memory",
    "64m",
    "--cpus",
    "0.5",
    IMAGE,
    "sleep",
    "600",
  );
  const { status, body } = await get(metricsSocket, "/metrics");
  assert.equal(status, 200);
  assertExposition(body);
  assert.match(body, /^engine_daemon_engine_info\{[^}]*graphdriver="overlay2"[^}]*\} 1$/m);
  assert.match(body, /^engine_daemon_container_states_containers\{state="running"\} 1$/m);
  assert.match(body, /^engine_daemon_container_actions_seconds_count\{action="start"\} [1-9]/m);
  assert.match(body, /^engine_daemon_events_total [1-9]/m);
  assert.match(body, /^builder_builds_triggered_total 0$/m);
  const of = (name: string): string =>
    new RegExp(
      `^${name}\\{id="${id.slice(0, 12)}",name="metered",image="[^"]+"[^}]*\\} (.*)$`,
      "m",
    ).exec(body)?.[1] ?? "";
  assert.ok(Number(of("container_cpu_usage_seconds_total")) > 0);
  assert.ok(Number(of("container_memory_usage_bytes")) > 0);
  assert.equal(of("container_spec_memory_limit_bytes"), String(64 * 1024 * 1024));
  assert.equal(of("container_spec_cpu_cores"), "0.5");
  // On cgroup v1 the process that made it may not have been reaped yet.
  assert.match(of("container_processes"), /^[12]$/);
  assert.notEqual(of("container_network_receive_bytes_total"), "");
  assert.equal((await get(metricsSocket, "/other")).status, 404);
  await daemon.ok("rm", "-f", "metered");
});

/** Every line is a comment or a sample, every family is declared once, before its samples. */
function assertExposition(text: string): void {
  const declared = new Set<string>();
  const series = new Set<string>();
  for (const line of text.split("\n")) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type) {
      assert.ok(!declared.has(type[1]!), line);
      declared.add(type[1]!);
    }
    if (line === "" || line.startsWith("#")) continue;
    const sample = /^([a-zA-Z_:][\w:]*)(\{.*\})? (-?[\d.e+-]+|NaN|\+Inf)$/.exec(line);
    assert.ok(sample, line);
    const family = sample[1]!.replace(/_(bucket|sum|count)$/, "");
    assert.ok(declared.has(sample[1]!) || declared.has(family), line);
    const key = sample[1]! + (sample[2] ?? "");
    assert.ok(!series.has(key), `twice: ${key}`);
    series.add(key);
  }
  assert.ok(series.size > 40);
}

test("SIGUSR1 writes down what is under way, for root alone", limits, async () => {
  const id = await daemon.ok("run", "-d", IMAGE, "sleep", "600");
  const wait = request({
    socketPath: daemon.socket,
    method: "POST",
    path: `/containers/${id}/wait`,
    agent: false,
  });
  wait.on("error", () => {});
  wait.end();
  await once(wait, "response");
  process.kill(await daemon.pid(), "SIGUSR1");
  await logged("goroutine stacks written to ");
  const path = /goroutine stacks written to ([^"]+)"/.exec(await daemon.log())?.[1] ?? "";
  assert.ok(path.startsWith(join(daemon.folder, "exec")));
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const text = await readFile(path, "utf8");
  assert.match(text, new RegExp(`/containers/${id}/wait`));
  for (const wanted of ["== engine ==", "== event loop ==", '"monitorConnected": true', "libuv"]) {
    assert.ok(text.includes(wanted), wanted);
  }
  assert.doesNotMatch(text, /environmentVariables/);
  wait.destroy();
  await daemon.ok("rm", "-f", id);
});
