// Remote log drivers through the stock docker client: receivers of every protocol run in the
// daemon's own network, daemons are killed and receivers go away while lines flow.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until, within } from "../support/deadline.ts";
import { IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run as runProgram } from "./process.ts";

const RECEIVERS = fileURLToPath(new URL("../support/log-receivers/main.ts", import.meta.url));
const JOURNAL = "/run/systemd/journal/socket";
/** In a network namespace of the daemon's own every port is free. */
const GOOGLE_PORT = 8091;

/** The process of the receivers, within the daemon's network and mounts. */
class Receivers {
  readonly ports: Record<string, number>;
  readonly got = new Map<string, string[]>();
  #child: ChildProcess;
  #done = 0;
  #wake = () => {};

  static async start(daemon: TestDaemon, key: string): Promise<Receivers> {
    const enter = ["-t", String(daemon.holderPid), "-n", "--", process.execPath];
    const child = spawn("nsenter", [...enter, RECEIVERS, key, String(GOOGLE_PORT)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout! });
    const said = new Promise<string>((resolve, reject) => {
      lines.once("line", resolve);
      child.once("exit", (code) => reject(new Error(`The receivers ended: ${code}`)));
    });
    const first = await within(() => "the receivers to listen", said);
    return new Receivers(child, lines, JSON.parse(first) as Record<string, number>);
  }

  constructor(
    child: ChildProcess,
    lines: ReturnType<typeof createInterface>,
    ports: Record<string, number>,
  ) {
    this.#child = child;
    this.ports = ports;
    lines.on("line", (line) => {
      const said = JSON.parse(line) as { receiver?: string; text?: string };
      if (said.receiver === undefined) this.#done++;
      else {
        const texts = this.got.get(said.receiver) ?? [];
        texts.push(said.text!);
        this.got.set(said.receiver, texts);
      }
      this.#wake();
    });
  }

  /** Resolves when all of `texts` have arrived at a receiver, however often. */
  async has(receiver: string, texts: readonly string[]): Promise<void> {
    const missing = () => {
      const got = new Set(this.got.get(receiver));
      return texts.filter((text) => !got.has(text));
    };
    const what = () => `${missing().length} of ${texts.length} lines, ${missing()[0]} first`;
    while (missing().length > 0) await within(what, this.#more());
  }

  async tell(command: "open" | "close" | "hold" | "release"): Promise<void> {
    const before = this.#done;
    this.#child.stdin!.write(`${command}\n`);
    while (this.#done === before) await within(() => `an answer to ${command}`, this.#more());
  }

  #more(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  stop(): void {
    this.#child.stdin!.end();
    this.#child.kill("SIGKILL");
  }
}

/** What the API says of lines that a log has not. */
async function droppedHeader(daemon: TestDaemon, name: string): Promise<string | undefined> {
  const path = `/v1.44/containers/${name}/logs?stdout=1&tail=1`;
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath: daemon.socket, path }, resolve).on("error", reject).end();
  });
  const answer = await within(() => "an answer to logs", answered);
  answer.resume();
  return answer.headers["x-gantry-log-dropped"] as string | undefined;
}

const lines = (count: number) => Array.from({ length: count }, (_, n) => `line ${n + 1}`);

describe("remote log drivers", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let receivers: Receivers;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-receivers-"));
    const key = join(folder, "key.json");
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_EC2_METADATA_DISABLED: "true",
      GOOGLE_APPLICATION_CREDENTIALS: key,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING: `http://127.0.0.1:${GOOGLE_PORT}/`,
      GCE_METADATA_HOST: "127.0.0.1:1",
    });
    daemon = await startDaemon();
    // The journal's socket of this host, if there is one, is not ours to use.
    const enter = ["-t", String(daemon.holderPid), "-m", "--"];
    execFileSync("nsenter", [...enter, "mkdir", "-p", "/run/systemd"]);
    execFileSync("nsenter", [...enter, "mount", "-t", "tmpfs", "tmpfs", "/run/systemd"]);
    execFileSync("nsenter", [...enter, "mkdir", "/run/systemd/journal"]);
    execFileSync("nsenter", [
      "-t",
      String(daemon.holderPid),
      "-n",
      "ip",
      "link",
      "set",
      "lo",
      "up",
    ]);
    receivers = await Receivers.start(daemon, key);
  });
  after(async () => {
    receivers?.stop();
    await daemon?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const optionsOf = (options: Record<string, string>) =>
    Object.entries(options).flatMap(([key, value]) => ["--log-opt", `${key}=${value}`]);
  const flags = (driver: string, options: Record<string, string>) => [
    ...["--network", "none", "--log-driver", driver],
    ...optionsOf(options),
  ];
  const at = (scheme: string, receiver: string) =>
    `${scheme}://127.0.0.1:${receivers.ports[receiver]}`;
  /** What each driver needs to reach its receiver. */
  const ways: [driver: string, receiver: string, options: () => Record<string, string>][] = [
    ["syslog", "syslog", () => ({ "syslog-address": at("tcp", "syslog") })],
    ["syslog", "syslogUdp", () => ({ "syslog-address": at("udp", "syslogUdp") })],
    ["gelf", "gelf", () => ({ "gelf-address": at("tcp", "gelf") })],
    ["gelf", "gelfUdp", () => ({ "gelf-address": at("udp", "gelfUdp") })],
    ["fluentd", "fluentd", () => ({ "fluentd-address": at("tcp", "fluentd") })],
    ["splunk", "splunk", () => ({ "splunk-url": at("http", "splunk"), "splunk-token": "secret" })],
    [
      "awslogs",
      "awslogs",
      () => ({
        "awslogs-endpoint": at("http", "awslogs"),
        "awslogs-region": "eu-central-1",
        "awslogs-group": "group",
        "awslogs-create-group": "true",
      }),
    ],
    ["gcplogs", "gcplogs", () => ({ "gcp-project": "project" })],
  ];

  for (const [driver, receiver, options] of ways) {
    test(`${driver} has every line of a container that is removed at its end (${receiver})`, async () => {
      const run = ["run", "--rm", ...flags(driver, options())];
      const shown = await daemon.ok(...run, IMAGE, "lines", "40");
      assert.deepEqual(shown.split("\n"), lines(40));
      await receivers.has(receiver, lines(40));
    });
  }

  test("journald has every line, and is missed in docker's words", async () => {
    const missing = await daemon.client(["run", "--rm", ...flags("journald", {}), IMAGE, "echo"]);
    assert.equal(missing.code, 125);
    assert.match(missing.stderr, /logging driver: journald is not enabled on this host/);
    const enter = ["-t", String(daemon.holderPid), "-m", "--", daemon.payload];
    const journal = spawn("nsenter", [...enter, "datagrams", JOURNAL]);
    try {
      const printed = createInterface({ input: journal.stdout });
      const entries: string[] = [];
      const all = new Promise<void>((resolve) => {
        printed.on("line", (line) => {
          const [kind = "", hex = ""] = line.split(" ");
          if (kind !== "listening") entries.push(Buffer.from(hex, "hex").toString());
          if (entries.length === 20) resolve();
        });
      });
      const listening = new Promise((resolve) => printed.once("line", resolve));
      await within(() => "a journal that listens", listening);
      const run = [
        "run",
        "--rm",
        ...flags("journald", { tag: "{{.Name}}" }),
        "--name",
        "journalled",
      ];
      await daemon.ok(...run, IMAGE, "lines", "20");
      await within(() => `20 lines, of which ${entries.length} came`, all);
      const messages = entries.map((entry) => /^MESSAGE=(.*)$/m.exec(entry)?.[1]);
      assert.deepEqual(messages, lines(20));
      assert.match(entries[0]!, /^CONTAINER_NAME=journalled$/m);
      assert.match(entries[0]!, /^SYSLOG_IDENTIFIER=journalled$/m);
    } finally {
      journal.kill("SIGKILL");
    }
  });

  test("a daemon that is killed again and again loses no line", async () => {
    const options = { "fluentd-address": at("tcp", "fluentd"), "fluentd-request-ack": "true" };
    receivers.got.delete("fluentd");
    const run = ["run", "-d", "--name", "long", ...flags("fluentd", options)];
    await daemon.ok(...run, IMAGE, "lines", "3000", "1");
    for (const reached of [100, 900, 1700]) {
      await receivers.has("fluentd", [`line ${reached}`]);
      await daemon.restart("SIGKILL");
    }
    await receivers.has("fluentd", lines(3000));
    await daemon.ok("wait", "long");
    assert.deepEqual((await daemon.ok("logs", "long")).split("\n"), lines(3000));
    await daemon.ok("rm", "long");
  });

  test("a container goes on while its receiver is away, which then gets what it missed", async () => {
    const options = { "syslog-address": at("tcp", "syslog") };
    receivers.got.delete("syslog");
    const run = ["run", "-d", "--name", "patient", ...flags("syslog", options)];
    await daemon.ok(...run, IMAGE, "lines", "1000", "1");
    await receivers.has("syslog", ["line 100"]);
    await receivers.tell("close");
    await daemon.ok("wait", "patient");
    await daemon.restart("SIGKILL"); // nobody has the rest but the disk
    await receivers.tell("open");
    await receivers.has("syslog", lines(1000));
    await daemon.ok("rm", "patient");
  });

  const spoolBytes = 16 * 1024 * 1024;
  const spamBytes = 24 * 1024 * 1024;
  const spamLines = spamBytes / 64;
  const small = () => ({
    "syslog-address": at("tcp", "tap"),
    "cache-max-size": "1m",
    "cache-max-file": "2",
  });
  const shippingOf = async (name: string) =>
    JSON.parse(await daemon.ok("inspect", "-f", "{{json .LogShipping}}", name)) as {
      State: string;
      WaitingBytes: number;
      DroppedLines: number;
      ShippedLines: number;
    };

  const isShipped = (name: string) =>
    until("everything to be shipped", async () => (await shippingOf(name)).State === "done");

  test("a container waits for a receiver that does not read, and no line is lost", async () => {
    receivers.got.delete("tap");
    const run = ["run", "-d", "--name", "waiting", ...flags("syslog", small())];
    await daemon.ok(...run, IMAGE, "spam", String(spamBytes));
    const isFull = async () => (await shippingOf("waiting")).WaitingBytes >= spoolBytes * 0.9;
    await until("a spool that is full", isFull);
    const format = "{{.State.Running}}";
    assert.equal(await daemon.ok("inspect", "-f", format, "waiting"), "true");
    await receivers.tell("release");
    assert.equal(await daemon.ok("wait", "waiting"), "0");
    await receivers.has("tap", [String(spamLines)]);
    await isShipped("waiting");
    const { DroppedLines, ShippedLines } = await shippingOf("waiting");
    assert.deepEqual([DroppedLines, ShippedLines], [0, spamLines]);
    await receivers.tell("hold");
    await daemon.ok("rm", "waiting");
  });

  test("in mode non-blocking a container goes on, and what is dropped is counted", async () => {
    receivers.got.delete("tap");
    const options = { ...small(), mode: "non-blocking", "max-buffer-size": "1m" };
    const run = ["run", "--name", "hasty", ...flags("syslog", options)];
    await daemon.ok(...run, "-d", IMAGE, "spam", String(spamBytes));
    assert.equal(await daemon.ok("wait", "hasty"), "0");
    await receivers.tell("release");
    await isShipped("hasty");
    const { DroppedLines, ShippedLines } = await shippingOf("hasty");
    assert.ok(DroppedLines > 0, "there was no room for all of it");
    const shown = `${ShippedLines} shipped and ${DroppedLines} dropped`;
    assert.equal(ShippedLines + DroppedLines, spamLines, shown);
    await receivers.has("tap", [String(ShippedLines)]);
    assert.equal(await droppedHeader(daemon, "hasty"), String(DroppedLines));
    const shownByOurs = await runProgram(join(root, "bin/gantry"), ["logs", "-n", "1", "hasty"], {
      env: daemon.env,
    });
    const warning = new RegExp(`^WARNING: ${DroppedLines} log entries are missing: `, "m");
    assert.match(shownByOurs.stderr, warning);
    await daemon.ok("rm", "hasty");
  });

  test("gantry logs --status says how far a driver is", async () => {
    const options = { "fluentd-address": at("tcp", "fluentd") };
    await daemon.ok("run", "--name", "shown", ...flags("fluentd", options), IMAGE, "echo", "hi");
    await isShipped("shown");
    const { stdout } = await runProgram(join(root, "bin/gantry"), ["logs", "--status", "shown"], {
      env: daemon.env,
    });
    const shown = Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/: +/)),
    );
    assert.equal(shown["Driver"], "fluentd");
    assert.equal(shown["State"], "done");
    assert.equal(shown["Shipped"], "1 lines, 2B");
    assert.equal(shown["Waiting"], "0B");
    await daemon.ok("rm", "shown");
  });

  test("what was shipped before a restart of the container is not shipped again", async () => {
    const options = { "fluentd-address": at("tcp", "fluentd") };
    await daemon.ok(
      "create",
      "--name",
      "twice",
      ...flags("fluentd", options),
      IMAGE,
      "echo",
      "once",
    );
    for (let run = 0; run < 2; run++) {
      await daemon.ok("start", "-a", "twice");
    }
    await daemon.ok("rm", "twice"); // waits for the last lines
    const got = () => receivers.got.get("fluentd")?.filter((text) => text === "once").length ?? 0;
    await until("a line of each start", () => got() >= 2);
    assert.equal(got(), 2);
  });

  test("a receiver that is not there fails the start and leaves a container to look at", async () => {
    const options = { "syslog-address": "tcp://127.0.0.1:1" };
    await daemon.ok("create", "--name", "refused", ...flags("syslog", options), IMAGE, "true");
    const { code, stderr } = await daemon.client(["start", "refused"]);
    assert.equal(code, 1);
    const why =
      "failed to create task for container: failed to initialize logging driver: " +
      "dial tcp 127.0.0.1:1: connect: connection refused";
    assert.match(stderr, new RegExp(why));
    const format = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}|{{.LogPath}}";
    const state = await daemon.ok("inspect", "-f", format, "refused");
    assert.equal(state, `created 128 ${why}|`);
    const config = await daemon.ok("inspect", "-f", "{{json .HostConfig.LogConfig}}", "refused");
    assert.deepEqual(JSON.parse(config), { Type: "syslog", Config: options });
    await daemon.ok("rm", "refused");
  });

  test("logs of a disabled cache cannot be read, of any other they can", async () => {
    const options = { "syslog-address": at("udp", "syslogUdp") };
    const disabled = { ...options, "cache-disabled": "true" };
    await daemon.ok("run", "--name", "unread", ...flags("syslog", disabled), IMAGE, "echo", "hi");
    const { stderr } = await daemon.client(["logs", "unread"]);
    assert.match(stderr, /configured logging driver does not support reading/);
    await receivers.has("syslogUdp", ["hi"]);
    await daemon.ok("run", "--name", "read", ...flags("syslog", options), IMAGE, "echo", "hi");
    assert.equal(await daemon.ok("logs", "read"), "hi");
    await daemon.ok("rm", "unread", "read");
  });

  test("unknown drivers and options are refused when a container is created", async () => {
    const refused = async (driver: string, options: Record<string, string> = {}) => {
      const command = ["create", ...flags(driver, options), IMAGE, "true"];
      return (await daemon.client(command)).stderr;
    };
    assert.match(
      await refused("nosuch"),
      /error looking up logging plugin nosuch: plugin "nosuch" not found/,
    );
    assert.match(await refused("gelf"), /gelf-address is a required parameter/);
    const colour = await refused("syslog", { colour: "blue" });
    assert.match(colour, /unknown log opt 'colour' for syslog log driver/);
  });

  test("info lists the drivers that there are", async () => {
    const shown = JSON.parse(await daemon.ok("info", "-f", "{{json .Plugins.Log}}"));
    const remote = ["awslogs", "fluentd", "gcplogs", "gelf", "journald"];
    assert.deepEqual(shown, [...remote, "json-file", "local", "splunk", "syslog"]);
  });
});
