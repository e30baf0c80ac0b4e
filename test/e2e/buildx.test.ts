// Stock docker buildx and docker compose against our socket, unmodified: builds, bake, what is kept
// and what was built. What comes out of builds is in build-outputs.test.ts.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { dockerCli, dockerConfig, whyNoPlugin } from "../support/docker-plugins.ts";
import { writeFiles } from "../support/write-files.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { type Result, type RunOptions, run } from "./process.ts";

const skip = whyNoDaemon() || whyNoPlugin("docker-buildx");
let daemon: TestDaemon;
let folder: string;
let env: Record<string, string>;

async function begin(): Promise<void> {
  daemon = await startDaemon();
  folder = join(daemon.folder, "work");
  await mkdir(folder);
  const config = await dockerConfig(join(daemon.folder, "docker-config"));
  env = { ...daemon.env, DOCKER_CONFIG: config };
}

/** A fresh folder with these files. */
async function files(contents: Record<string, string>): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await writeFiles(folder, contents);
  return folder;
}

async function docker(args: readonly string[], o: RunOptions = {}): Promise<Result> {
  return await run(dockerCli(), args, { ...o, env: { ...env, ...o.env } });
}

/** Everything that a command says; anything but success throws. */
async function ok(args: readonly string[], o: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await docker(args, o);
  assert.equal(code, 0, `${args.join(" ")}:\n${stderr}${stdout}`);
  return stdout + stderr;
}
const build = (...args: string[]) => ok(["buildx", "build", "--progress", "plain", ...args]);
const runs = (image: string, ...command: string[]) =>
  daemon.ok("run", "--rm", "--network", "none", image, ...command);

describe("docker buildx", { skip }, () => {
  before(begin);
  after(() => daemon.stop());

  test("an image is built, told step by step, found in the cache, and run", async () => {
    const context = await files({
      Dockerfile: [
        "# syntax=docker/dockerfile:1",
        "FROM payload AS base",
        "ARG WHO=nobody",
        'RUN ["echo", "made"]',
        "FROM base",
        "COPY --from=extra hello.txt /extra",
        "COPY . /all",
        'RUN --mount=type=secret,id=token ["cat", "/run/secrets/token"]',
        "ENV WHO=$WHO",
        'CMD ["cat", "/extra", "/all/dir/ü"]',
      ].join("\n"),
      ...{ "dir/ü": "umlaut\n", left: "out", ".dockerignore": "left\n" },
    });
    const extra = join(daemon.folder, "extra");
    await mkdir(extra);
    await writeFile(join(extra, "hello.txt"), "hello\n");
    const token = join(daemon.folder, "token");
    await writeFile(token, "s3cret-of-the-client");
    await symlink("dir", join(context, "link"));
    const args = ["--secret", `id=token,src=${token}`, "--build-context", `extra=${extra}`];
    const first = await build("-t", "app:1", ...args, context);
    assert.match(first, /\[base 2\/2\] RUN \["echo", "made"\]/);
    assert.match(first, /s3cret-of-the-client/);
    assert.match(first, /naming to docker\.io\/library\/app:1/);
    assert.equal(await runs("app:1"), "hello\numlaut");
    assert.equal(await runs("app:1", "cat", "/all/link/ü"), "umlaut");
    assert.notEqual((await daemon.client(["run", "--rm", "app:1", "cat", "/all/left"])).code, 0);
    const second = await build("-t", "app:1", ...args, context);
    assert.equal(second.match(/CACHED/g)?.length, 5, second);
    // Nothing that the clients know as open is left open.
    assert.doesNotMatch(second, /^#\d+ \.\.\.$/m);
  });

  test("docker build is buildx', and without it the classic builder goes on", async () => {
    const context = await files({ Dockerfile: "FROM payload\nLABEL a=b\n" });
    assert.match(
      await ok(["build", "--progress", "plain", "-t", "one", context]),
      /load metadata for/,
    );
    const classic = await ok(["build", "-t", "two", context], { env: { DOCKER_BUILDKIT: "0" } });
    assert.match(classic, /Successfully tagged two:latest/);
  });

  test("what fails is shown with its lines", async () => {
    const context = await files({ Dockerfile: 'FROM payload\nRUN ["exit", "7"]\n' });
    const failed = await docker(["buildx", "build", "--progress", "plain", context]);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, / {3}2 \| >>> RUN \["exit", "7"\]/);
    assert.match(
      failed.stderr,
      /failed to solve: process "exit 7" did not complete successfully: exit code: 7/,
    );
    await files({ Dockerfile: "FROM payload\nRUNN x\n" });
    const wrong = await docker(["buildx", "build", "--progress", "plain", context]);
    assert.match(wrong.stderr, /Dockerfile:2\n/);
    assert.match(
      wrong.stderr,
      /failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN/,
    );
  });

  test("contexts and Dockerfiles come from standard input", async () => {
    const context = await files({ Dockerfile: "FROM scratch\n", file: "from the folder\n" });
    const dockerfile = 'FROM payload\nCOPY file /f\nCMD ["cat", "/f"]\n';
    await ok(["buildx", "build", "-t", "stdin:1", "-f", "-", context], { input: dockerfile });
    assert.equal(await runs("stdin:1"), "from the folder");
    await writeFile(join(context, "Dockerfile"), dockerfile);
    const tar = spawn("tar", ["-C", context, "-c", "."], { stdio: ["ignore", "pipe", "inherit"] });
    const chunks: Buffer[] = [];
    for await (const chunk of tar.stdout) chunks.push(chunk);
    await ok(["buildx", "build", "-t", "stdin:2", "-"], { input: Buffer.concat(chunks) });
    assert.equal(await runs("stdin:2"), "from the folder");
  });

  test("an ssh agent is there for a step that asks for it", async () => {
    const socket = join(daemon.folder, "agent.sock");
    const agent = createServer((client) => client.destroy());
    await new Promise<void>((resolve) => agent.listen(socket, resolve));
    const context = await files({
      Dockerfile: 'FROM payload\nRUN --mount=type=ssh ["stat", "/run/buildkit/ssh_agent.0"]\n',
    });
    await build("--ssh", `default=${socket}`, context);
    const without = await docker(["buildx", "build", "--no-cache", context]);
    agent.close();
    assert.equal(without.code, 1, "there is no socket without an agent");
    assert.match(without.stderr, /No such file|ssh_agent\.0/);
    await files({
      Dockerfile: 'FROM payload\nRUN --mount=type=ssh,required=true ["true"]\n',
    });
    const required = await docker(["buildx", "build", context]);
    assert.equal(required.code, 1);
  });

  test("bake builds targets side by side, one on another", async () => {
    const context = await files({
      "docker-bake.json": JSON.stringify({
        group: { default: { targets: ["base", "app"] } },
        target: {
          base: { context: ".", dockerfile: "base.Dockerfile", tags: ["bake/base"] },
          app: {
            ...{ context: ".", dockerfile: "app.Dockerfile", tags: ["bake/app"] },
            ...{ args: { X: "1" }, contexts: { ground: "target:base" } },
          },
        },
      }),
      "base.Dockerfile": 'FROM payload\nRUN ["write", "/base", "ground"]\nENV FROM_BASE=yes\n',
      "app.Dockerfile":
        "FROM ground\nARG X\nCOPY --from=ground /base /copied\nENV X=$X\n" +
        'CMD ["env", "FROM_BASE", "X"]\n',
    });
    // bake reads its contexts relative to the folder that it runs in.
    const command = `cd ${context} && exec "$0" buildx bake --progress plain`;
    const { code, stderr } = await run("sh", ["-c", command, dockerCli()], { env });
    assert.equal(code, 0, stderr);
    assert.equal(await runs("bake/app", "cat", "/copied"), await runs("bake/base", "cat", "/base"));
    assert.match(await runs("bake/app"), /yes[\s\S]*1/);
  });

  test("a build that is interrupted ends, and its step with it", async () => {
    const context = await files({ Dockerfile: 'FROM payload\nRUN ["sleep", "600"]\n' });
    const args = ["buildx", "build", "--progress", "plain", context];
    const client = spawn(dockerCli(), args, { env: { ...process.env, ...env } });
    let said = "";
    const exit = new Promise((resolve) => client.on("close", resolve));
    await new Promise<void>((resolve) => {
      client.stderr.on("data", (chunk) => {
        said += chunk;
        if (/\[2\/2\] RUN/.test(said)) resolve();
      });
    });
    client.kill("SIGINT");
    assert.notEqual(await exit, 0);
    assert.match(said, /Canceled|CANCELED/);
    // The daemon hears of it when the client has gone already.
    while (/Running/.test(await ok(["buildx", "history", "ls"]))) await delay(50);
  });

  test("usage, history and workers are listed; prune frees", async () => {
    const context = await files({ Dockerfile: 'FROM payload\nRUN ["write", "/x", "y"]\n' });
    await build("-t", "kept", context);
    assert.match(await ok(["buildx", "inspect"]), /Status: +running/);
    assert.match(await ok(["buildx", "du", "--verbose"]), /RUN \["write", "\/x", "y"\]/);
    const list = await ok(["buildx", "history", "ls", "--format", "{{.Ref}} {{.Status}}"]);
    assert.match(list, /Completed/);
    assert.match(await ok(["buildx", "history", "logs"]), /RUN \["write", "\/x", "y"\]/);
    assert.match(await ok(["buildx", "history", "inspect"]), /Build Steps:/);
    const provenance = await ok([
      "buildx",
      "history",
      "inspect",
      "attachment",
      "--type",
      "provenance",
    ]);
    const { metadata } = JSON.parse(provenance);
    assert.ok(list.includes(metadata.buildInvocationID));
    await ok(["buildx", "history", "rm", "--all"]);
    assert.equal((await ok(["buildx", "history", "ls", "-q"]).catch(() => "")).trim(), "");
    assert.match(await ok(["buildx", "prune", "-af"]), /Total:/);
    assert.doesNotMatch(await ok(["buildx", "du", "--verbose"]), /RUN \["write"/);
  });
});

describe("docker compose build", { skip: skip || whyNoPlugin("docker-compose") }, () => {
  before(begin);
  after(() => daemon.stop());

  test("services are built and run, by bake and without it", async () => {
    const context = await files({
      "compose.yaml": [
        "services:",
        "  web:",
        "    build: { context: ., args: { V: seven } }",
        "    image: composed/web",
        "    network_mode: none",
        '    command: ["env", "V"]',
      ].join("\n"),
      Dockerfile: "FROM payload\nARG V\nENV V=$V\nCOPY Dockerfile /d\n",
    });
    const compose = (...args: string[]) => ["compose", "--project-directory", context, ...args];
    const file = ["-f", join(context, "compose.yaml")];
    for (const bake of ["true", "false"]) {
      await daemon.client(["rmi", "composed/web"]);
      await ok(compose(...file, "build"), { env: { COMPOSE_BAKE: bake } });
      assert.match(await runs("composed/web", "env", "V"), /seven/);
    }
    assert.match(await ok(compose(...file, "up", "--build")), /seven/);
    await ok(compose(...file, "down"));
    assert.match(await readFile(join(context, "Dockerfile"), "utf8"), /payload/);
  });
});
