// The stock docker compose plugin against our socket, unmodified: what people keep in their compose
// files, a scenario a group. The calls that it makes are in compose.test.ts.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dockerCli, dockerConfig, whyNoPlugin } from "../support/docker-plugins.ts";
import { writeFiles } from "../support/write-files.ts";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { type Result, run, Session } from "./process.ts";

const DEADLINE_MS = 120_000;

let daemon: TestDaemon;
let env: Record<string, string>;

/** A project in a folder of its own. */
class Project {
  readonly name: string;
  readonly folder: string;
  readonly env: Record<string, string>;

  private constructor(name: string, more: Record<string, string>) {
    this.name = name;
    this.folder = join(daemon.folder, name);
    this.env = { ...env, COMPOSE_ANSI: "never", COMPOSE_PROGRESS: "plain", ...more };
  }

  static async make(
    name: string,
    files: Record<string, string>,
    more: Record<string, string> = {},
  ): Promise<Project> {
    const project = new Project(name, more);
    await writeFiles(project.folder, files);
    return project;
  }

  #args(args: readonly string[]): string[] {
    return ["compose", "--project-directory", this.folder, "-p", this.name, ...args];
  }

  async compose(...args: string[]): Promise<Result> {
    return await run(dockerCli(), this.#args(args), { env: this.env, deadlineMs: DEADLINE_MS });
  }

  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.compose(...args);
    assert.equal(code, 0, `compose ${args.join(" ")}: ${code}\n${stderr}${stdout}`);
    return stdout.trim();
  }

  session(...args: string[]): Session {
    return new Session(dockerCli(), this.#args(args), this.env);
  }

  async names(kind: "containers" | "networks" | "volumes"): Promise<string[]> {
    const filters = { label: [`com.docker.compose.project=${this.name}`] };
    const { dockerode } = daemon;
    const found: string[] =
      kind === "containers"
        ? (await dockerode.listContainers({ all: true, filters })).map(({ Names }) => Names[0]!)
        : kind === "networks"
          ? (await dockerode.listNetworks({ filters })).map(({ Name }) => Name)
          : (await dockerode.listVolumes({ filters })).Volumes.map(({ Name }) => Name);
    return found.map((name) => name.replace(/^\//, "")).toSorted();
  }

  /** Everything goes, and nothing stays. */
  async down(...args: string[]): Promise<void> {
    await this.ok("down", "-v", "-t", "0", "--remove-orphans", ...args);
    for (const kind of ["containers", "networks", "volumes"] as const) {
      assert.deepEqual(await this.names(kind), [], kind);
    }
  }
}

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
const NOW = "stop_grace_period: 0s";

describe("docker compose", { skip: whyNoDaemon() || whyNoPlugin("docker-compose") }, () => {
  before(async () => {
    daemon = await startDaemon();
    env = { ...daemon.env, DOCKER_CONFIG: await dockerConfig(join(daemon.folder, "plugins")) };
  });
  after(() => daemon.stop());

  test("services wait for the health and for the end of others", async () => {
    const project = await Project.make("order", {
      "compose.yaml": `
services:
  db:
    image: ${IMAGE}
    command: ["seq", "write /data/ready yes", "sleep"]
    ${NOW}
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "/bin/cat", "/data/ready"], interval: 1s, start_interval: 100ms, start_period: 30s}
  migrate:
    image: ${IMAGE}
    command: ["seq", "cat /data/ready", "write /data/migrated yes"]
    volumes: ["data:/data"]
    depends_on: {db: {condition: service_healthy}}
  app:
    image: ${IMAGE}
    command: ["seq", "cat /data/migrated", "sleep"]
    ${NOW}
    volumes: ["data:/data:ro"]
    depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy, restart: true}}
volumes: {data: {}}
`,
    });
    await project.ok("up", "-d");
    const states = await project.ok("ps", "-a", "--format", "{{.Service}} {{.State}} {{.Health}}");
    assert.deepEqual(
      lines(states)
        .map((line) => line.trim())
        .toSorted(),
      ["app running", "db running healthy", "migrate exited"],
    );
    assert.equal(await project.ok("logs", "--no-log-prefix", "migrate"), "yes");
    const before = await project.ok("ps", "-q", "app");
    // What depends on it with restart: true is restarted with it.
    const started = async () =>
      (await daemon.dockerode.getContainer(before).inspect()).State.StartedAt;
    const first = await started();
    await project.ok("restart", "db");
    assert.notEqual(await started(), first);
    await project.down();
  });

  test("up --wait tells of what is ready and of what will never be", async () => {
    const project = await Project.make("waits", {
      "compose.yaml": `
services:
  good:
    image: ${IMAGE}
    command: ["sleep"]
    ${NOW}
    healthcheck: {test: ["CMD", "/bin/true"], interval: 1s, start_interval: 100ms, start_period: 30s}
  bad:
    image: ${IMAGE}
    command: ["sleep"]
    ${NOW}
    profiles: [bad]
    healthcheck: {test: ["CMD", "/bin/false"], interval: 100ms, retries: 1}
  job:
    image: ${IMAGE}
    command: ["exit", "3"]
    profiles: [job]
  after:
    image: ${IMAGE}
    command: ["sleep"]
    ${NOW}
    profiles: [job]
    depends_on: {job: {condition: service_completed_successfully}}
`,
    });
    await project.ok("up", "--wait");
    assert.deepEqual(await project.names("containers"), ["waits-good-1"], "no profile, no service");
    const bad = await project.compose("--profile", "bad", "up", "--wait");
    assert.notEqual(bad.code, 0);
    assert.match(bad.stderr, /waits-bad-1 is unhealthy/);
    const job = await project.compose("--profile", "job", "up", "-d");
    assert.notEqual(job.code, 0);
    assert.match(job.stderr, /service "job" didn't complete successfully: exit 3/);
    const ended = await project.compose("--profile", "job", "up", "--exit-code-from", "job", "job");
    assert.equal(ended.code, 3, ended.stderr);
    await project.ok("--profile", "*", "down", "-t", "0");
    await project.down();
  });

  test("files, variables, configs, secrets and extended services come together", async () => {
    const project = await Project.make(
      "settings",
      {
        ".env": `WHAT=${IMAGE}\nPORT=8080\n`,
        "app.env": "FROM_FILE=file\nBOTH=file\n",
        "greeting.txt": "hello\n",
        "password.txt": "from a file\n",
        "common.yaml": `
services:
  base:
    image: \${WHAT:?no image}
    ${NOW}
    environment: {BASE: base, BOTH: base}
    labels: {kind: base}
    hostname: based
`,
        "compose.yaml": `
services:
  app:
    extends: {file: common.yaml, service: base}
    command: ["sleep"]
    env_file: [app.env, {path: absent.env, required: false}]
    environment: {BOTH: own, FROM_SHELL: null, PORT: "\${PORT}"}
    labels: {own: label}
    configs:
      - {source: greeting, target: /etc/greeting}
      - {source: inline, target: /etc/inline, mode: 0440}
    secrets: [password, {source: token, target: /run/secrets/named}]
configs: {greeting: {file: greeting.txt}, inline: {content: "port \${PORT}"}}
secrets: {password: {file: password.txt}, token: {environment: TOKEN}}
`,
        "compose.override.yaml": `
services: {app: {labels: {over: ride}, sysctls: {net.ipv4.ip_unprivileged_port_start: 0}}}
`,
      },
      { FROM_SHELL: "shell", TOKEN: "from the shell" },
    );
    const config = JSON.parse(await project.ok("config", "--format", "json"));
    assert.equal(config.services.app.image, IMAGE);
    assert.equal(config.services.app.environment.PORT, "8080");
    assert.equal(await project.ok("config", "--services"), "app");
    assert.equal(await project.ok("config", "--images"), IMAGE);
    await project.ok("up", "-d");
    const inside = (...command: string[]) => project.ok("exec", "-T", "app", ...command);
    const variables = lines(await inside("env"));
    for (const each of ["BASE=base", "BOTH=own", "FROM_FILE=file", "FROM_SHELL=shell"]) {
      assert(variables.includes(each), `${each} in ${variables}`);
    }
    assert.equal(await inside("cat", "/etc/greeting"), "hello");
    assert.equal(await inside("cat", "/etc/inline"), "port 8080");
    assert.equal(await inside("cat", "/run/secrets/password"), "from a file");
    assert.equal(await inside("cat", "/run/secrets/named"), "from the shell");
    assert.match(await inside("hostname"), /^based\b/);
    const { Labels } = (await daemon.dockerode.getContainer("settings-app-1").inspect()).Config;
    assert.deepEqual([Labels["kind"], Labels["own"], Labels["over"]], ["base", "label", "ride"]);
    await project.ok("up", "-d");
    assert.equal((await project.compose("up", "-d", "--no-recreate")).code, 0);
    await project.down();
  });

  test("networks have aliases and addresses, volumes labels, and orphans go", async () => {
    const file = (services: string) => `
services:
  web:
    image: ${IMAGE}
    command: ["listen", "tcp", "80"]
    ${NOW}
    ports: ["127.0.0.1::80", {target: 81, protocol: udp}]
    networks: {front: {aliases: [www, shop.example]}, back: {ipv4_address: 10.93.0.9, priority: 10}}
    volumes: ["data:/data", {type: tmpfs, target: /scratch, tmpfs: {size: 65536}}]
${services}
networks:
  front: {labels: {side: front}}
  back: {internal: true, ipam: {config: [{subnet: 10.93.0.0/24, ip_range: 10.93.0.128/25, gateway: 10.93.0.1}]}}
volumes: {data: {labels: {keep: "no"}}, named: {name: a-name-of-its-own}}
`;
    const client = `
  client:
    image: ${IMAGE}
    command: ["sleep"]
    ${NOW}
    networks: [front, back]
    links: ["web:linked"]
    extra_hosts: ["elsewhere=10.1.2.3"]
    volumes: ["named:/named"]
`;
    const project = await Project.make("nets", { "compose.yaml": file(client) });
    await project.ok("up", "-d");
    const inside = (...command: string[]) => project.ok("exec", "-T", "client", ...command);
    for (const name of ["web", "www", "shop.example", "nets-web-1", "linked"]) {
      assert.match(await inside("resolve", name), /^10\.93\.0\.9$|^\d+\.\d+\.\d+\.\d+/m, name);
    }
    assert.match(await inside("cat", "/etc/hosts"), /^10\.1\.2\.3\s+elsewhere$/m);
    assert.match(await inside("connect", "tcp", "10.93.0.9", "80", "30000"), /\S/);
    assert.match(await project.ok("port", "web", "80"), /^127\.0\.0\.1:\d+$/);
    assert.match(await project.ok("port", "--protocol", "udp", "web", "81"), /:\d+$/);
    const web = await daemon.dockerode.getContainer("nets-web-1").inspect();
    assert.equal(web.NetworkSettings.Networks["nets_back"]!.IPAddress, "10.93.0.9");
    const front = await daemon.dockerode.getNetwork("nets_front").inspect();
    assert.equal(front.Labels!["side"], "front");
    const volume = await daemon.dockerode.getVolume("nets_data").inspect();
    assert.equal(volume.Labels["keep"], "no");
    assert.deepEqual(await project.names("volumes"), ["a-name-of-its-own", "nets_data"]);

    await writeFiles(project.folder, { "compose.yaml": file("") });
    const again = await project.compose("up", "-d");
    assert.match(again.stderr, /[Ff]ound orphan containers/);
    assert.equal((await project.names("containers")).length, 2);
    await project.ok("up", "-d", "--remove-orphans");
    assert.deepEqual(await project.names("containers"), ["nets-web-1"]);
    await project.down();
  });

  test("an application that runs is looked into, scaled, paused, copied to and followed", async () => {
    const project = await Project.make("runs", {
      "copied.txt": "copied\n",
      "compose.yaml": `
services:
  app: {image: "${IMAGE}", command: ["lines", "1000000", "50"], ${NOW}}
  tool: {image: "${IMAGE}", command: ["echo", "default"], profiles: [tools]}
`,
    });
    const events = project.session("events", "--json");
    const follower = await project.ok("up", "-d", "--scale", "app=2").then(() => {
      return project.session("logs", "-f", "--tail", "1");
    });
    try {
      await follower.until(/app-1\s+\| /);
      await follower.until(/app-2\s+\| /);
      assert.match(await project.ok("ls", "-q"), /^runs$/m);
      assert.equal(lines(await project.ok("ps", "-q", "app")).length, 2);
      await project.ok("scale", "app=3");
      assert.equal(lines(await project.ok("ps", "-q")).length, 3);
      await follower.until(/app-3\s+\| /);
      await project.ok("up", "-d", "--scale", "app=1");
      assert.deepEqual(await project.names("containers"), ["runs-app-1"]);
      assert.match(await project.ok("top", "app"), /lines 1000000 50/);
      await project.ok("pause");
      assert.match(await project.ok("ps", "--format", "{{.State}}"), /^paused$/);
      await project.ok("unpause");
      await project.ok("cp", join(project.folder, "copied.txt"), "app:/copied");
      assert.equal(await project.ok("exec", "-T", "app", "cat", "/copied"), "copied");
      await project.ok("cp", "app:/copied", join(project.folder, "back.txt"));
      assert.equal(await readFile(join(project.folder, "back.txt"), "utf8"), "copied\n");
      const exec = await project.compose(
        "exec",
        "-T",
        "-e",
        "A=b",
        "-w",
        "/tmp",
        "app",
        "exit",
        "7",
      );
      assert.equal(exec.code, 7);
      const ran = await project.ok("run", "--rm", "-T", "-e", "A=b", "tool", "env");
      assert.match(ran, /^A=b$/m);
      assert.equal((await project.compose("run", "--rm", "-T", "tool", "exit", "4")).code, 4);
      assert.deepEqual(await project.names("containers"), ["runs-app-1"]);
      await project.ok("kill", "-s", "SIGKILL", "app");
      await project.ok("start", "app");
      await project.ok("restart", "-t", "0", "app");
      await project.ok("stop", "-t", "0");
      await project.ok("rm", "-f");
      assert.deepEqual(await project.names("containers"), []);
      for (const action of ["create", "start", "pause", "unpause", "kill", "die", "destroy"]) {
        await events.until(`"action":"${action}"`);
      }
    } finally {
      events.child.kill("SIGINT");
      follower.child.kill("SIGINT");
      await Promise.all([events.exitCode(), follower.exitCode()]);
    }
    await project.down();
  });

  const skip = whyNoPlugin("docker-buildx");
  test("images are built, built again for what changed, and watched", { skip }, async () => {
    const project = await Project.make("builds", {
      "app/Dockerfile": `FROM ${IMAGE}\nARG WHO=nobody\nENV WHO=$WHO\nCOPY text /text\nCMD ["sleep"]\n`,
      "app/text": "first\n",
      "compose.yaml": `
services:
  app:
    build: {context: app, args: {WHO: somebody}, labels: {made: here}}
    ${NOW}
    develop: {watch: [{path: app/text, action: rebuild}]}
`,
    });
    await project.ok("up", "-d", "--build");
    const text = () => project.ok("exec", "-T", "app", "cat", "/text");
    assert.equal(await text(), "first");
    assert.match(await project.ok("exec", "-T", "app", "env"), /^WHO=somebody$/m);
    const image = await daemon.dockerode.getImage("builds-app").inspect();
    assert.equal(image.Config.Labels["made"], "here");
    await writeFiles(project.folder, { "app/text": "second\n" });
    await project.ok("up", "-d", "--build");
    assert.equal(await text(), "second");

    const end = performance.now() + DEADLINE_MS;
    const watcher = project.session("watch");
    try {
      await watcher.until(/[Ww]atch enabled/);
      await writeFiles(project.folder, { "app/text": "third\n" });
      // The container is replaced: for a moment there is none.
      for (let seen = ""; seen !== "third\n"; ) {
        seen = (await project.compose("exec", "-T", "app", "cat", "/text")).stdout;
        assert(performance.now() < end, `${seen}${watcher.text}`);
      }
    } finally {
      watcher.child.kill("SIGINT");
      await watcher.exitCode();
    }
    await project.down("--rmi", "local");
    assert.equal((await daemon.client(["image", "inspect", "builds-app"])).code, 1);
  });
});
