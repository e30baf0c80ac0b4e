// docker build with the stock client and the classic builder, on the payload's image: what ends up
// in the image, what is cached, what is said, and that nothing is left when a build ends early.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { lstat, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { writeFiles } from "../support/write-files.ts";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import type { Result } from "./process.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");
const CLASSIC = { DOCKER_BUILDKIT: "0" };

describe("docker build", { skip }, () => {
  let daemon: TestDaemon;
  let context: string;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());

  /** A fresh context with these files. */
  async function files(contents: Record<string, string | Buffer>): Promise<void> {
    context = join(daemon.folder, "context");
    await rm(context, { recursive: true, force: true });
    await writeFiles(context, contents);
  }

  async function build(dockerfile: string, ...args: string[]): Promise<Result> {
    await writeFiles(join(daemon.folder, "context"), { Dockerfile: dockerfile });
    const all = ["build", "--network", "none", ...args, join(daemon.folder, "context")];
    return await daemon.client(all, { env: CLASSIC });
  }

  async function built(dockerfile: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await build(dockerfile, ...args);
    assert.equal(code, 0, stderr + stdout);
    return stdout;
  }

  async function runs(image: string, ...command: string[]): Promise<string> {
    return await daemon.ok("run", "--rm", "--network", "none", image, ...command);
  }

  test("-f may name a file outside of the context", async () => {
    await files({ "inside.txt": "inside" });
    await writeFiles(daemon.folder, { Outside: "FROM payload\nCOPY inside.txt /a\n" });
    const args = ["build", "-t", "outside", "-f", join(daemon.folder, "Outside"), context];
    const { code, stdout, stderr } = await daemon.client(args, { env: CLASSIC });
    assert.equal(code, 0, stderr + stdout);
    assert.equal(await runs("outside", "/bin/cat", "/a"), "inside");
  });

  test("the words of the classic builder, and the cache the second time", async () => {
    await files({ "a.txt": "hello" });
    const text = 'FROM payload\nCOPY a.txt /a\nRUN ["/bin/cat", "/a"]\nCMD ["/bin/cat", "/a"]\n';
    const first = await built(text, "-t", "words:1", "-t", "more/words:2");
    const id = "[0-9a-f]{12}";
    const lines = [
      "Step 1/4 : FROM payload",
      ` ---> ${id}`,
      "Step 2/4 : COPY a.txt /a",
      ` ---> ${id}`,
      'Step 3/4 : RUN \\["/bin/cat", "/a"\\]',
      ` ---> Running in ${id}`,
      `hello ---> Removed intermediate container ${id}`,
      ` ---> ${id}`,
      'Step 4/4 : CMD \\["/bin/cat", "/a"\\]',
      ` ---> (${id})`,
      "Successfully built \\1",
      "Successfully tagged words:1",
      "Successfully tagged more/words:2",
    ];
    assert.match(first, new RegExp(`${lines.join("\n")}\n$`));
    const second = await built(text, "-t", "words:1");
    assert.equal(second.match(/ ---> Using cache\n/g)?.length, 2);
    assert.doesNotMatch(second, /Running in/);
    assert.equal(/built (\w+)/.exec(second)?.[1], /built (\w+)/.exec(first)?.[1]);
    assert.equal(await runs("words:1"), "hello");
    assert.match(await built(text, "--no-cache"), /Running in/);
  });

  test("a file's time changes nothing, its content what stands on it", async () => {
    await files({ a: "1", b: "1" });
    const text = 'FROM payload\nCOPY a /a\nRUN ["/bin/true"]\nCOPY b /b\nRUN ["/bin/cat", "/b"]\n';
    await built(text);
    await utimes(join(context, "a"), 1, 1);
    assert.equal((await built(text)).match(/Using cache/g)?.length, 4);
    await writeFile(join(context, "b"), "2");
    assert.equal((await built(text)).match(/Using cache/g)?.length, 2);
  });

  test("stages, --target, build arguments and labels", async () => {
    await files({ seed: "s" });
    const text = [
      "ARG BASE=payload",
      "FROM $BASE AS first",
      "ARG WHAT=default",
      'RUN ["/bin/echo", "never shown"]',
      "WORKDIR /made/here",
      "COPY seed ./seed",
      "ENV WHAT=$WHAT",
      "FROM payload AS unneeded",
      'RUN ["/bin/false"]',
      "FROM first AS last",
      "COPY --from=first /made /copied",
      'CMD ["/bin/env"]',
    ].join("\n");
    const args = ["--build-arg", "WHAT=given", "--build-arg", "NOBODY=1", "--label", "l=1"];
    const output = await built(text, "-t", "stages", ...args);
    assert.match(output, /\[Warning\] One or more build-args \[NOBODY\] were not consumed/);
    assert.doesNotMatch(output, /unneeded/);
    assert.match(await runs("stages"), /^WHAT=given$/m);
    assert.equal(await runs("stages", "/bin/cat", "/copied/here/seed"), "s");
    assert.equal(await runs("stages", "/bin/pwd"), "/made/here");
    const labels = await daemon.ok("inspect", "-f", "{{json .Config.Labels}}", "stages");
    assert.equal(labels, '{"l":"1"}');
    await built(text, "-t", "first", "--target", "first");
    assert.equal((await runs("first", "/bin/ls", "/")).includes("copied"), false);
    const wrong = await build(text, "--target", "frist");
    assert.match(wrong.stderr, /target stage "frist" could not be found \(did you mean first\?\)/);
  });

  test("owners, modes, links and folders as COPY makes them", async () => {
    await files({ "d/one": "1", "d/sub/two": "2", "d/skip": "3", plain: "p" });
    await symlink("one", join(context, "d/link"));
    await symlink("d", join(context, "todir"));
    const text = [
      "FROM payload",
      "COPY d /q",
      "COPY todir/o* /glob/",
      "COPY --chown=app:extra --chmod=600 plain /owned",
      "COPY --chown=7 plain /numbers/",
      "COPY --exclude=skip --exclude=sub d /less",
      "COPY plain d/one /several/",
      "COPY --link plain /linked/plain",
      "COPY --parents d/sub/two /parents/",
      "COPY <<EOF /inline",
      "text",
      "EOF",
    ].join("\n");
    await built(text, "-t", "copies");
    const stat = (...paths: string[]) => runs("copies", "/bin/stat", ...paths);
    assert.match(await stat("/q/link"), /mode=120777 uid=0 gid=0/);
    assert.match(await stat("/q/sub/two"), /mode=100644 uid=0 gid=0 size=1/);
    assert.match(await stat("/owned"), /mode=100600 uid=1000 gid=2000/);
    assert.match(await stat("/numbers"), /mode=40755 uid=7 gid=7/);
    assert.match(await stat("/parents/d/sub/two", "/linked/plain"), /size=1 .*\n.* size=1 /);
    assert.equal(await runs("copies", "/bin/ls", "/glob"), "one");
    assert.equal(await runs("copies", "/bin/ls", "/less"), "link\none");
    assert.equal(await runs("copies", "/bin/ls", "/several"), "one\nplain");
    assert.equal(await runs("copies", "/bin/cat", "/inline"), "text");
  });

  test("ADD unpacks archives, compressed or not, and nothing else", async () => {
    const tar = pack();
    tar.entry({ name: "in/file", mode: 0o640 }, "inside");
    tar.finalize();
    const bytes = await buffer(tar);
    await files({ "a.tgz": gzipSync(bytes), "not.gz": gzipSync("text"), plain: "p" });
    await built("FROM payload\nADD a.tgz plain /x/\nADD not.gz /y/\n", "-t", "adds");
    assert.match(await runs("adds", "/bin/stat", "/x/in/file"), /mode=100640/);
    assert.equal(await runs("adds", "/bin/ls", "/x"), "in\nplain");
    assert.equal(await runs("adds", "/bin/ls", "/y"), "not.gz");
  });

  test("links of a context or a base lead nowhere outside", async () => {
    await files({ plain: "p" });
    const outside = join(daemon.folder, "outside");
    await writeFile(outside, "secret");
    await symlink(outside, join(context, "absolute"));
    await symlink(`../../../../../../../../../..${outside}`, join(context, "relative"));
    for (const name of ["absolute", "relative"]) {
      const { code, stderr } = await build(`FROM payload\nCOPY ${name} /x\n`);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`stat ${name}: file does not exist`));
    }
    // The base says that /evil is a folder of the host: it is made inside the image instead.
    await symlink(`/../../..${daemon.folder}`, join(context, "evil"));
    const text = "FROM payload\nCOPY e* /\nFROM scratch\nCOPY --from=0 / /\nCOPY plain /evil/new\n";
    await files({ "d/plain": "p", plain: "p" });
    await symlink(`/../../..${daemon.folder}`, join(context, "d/evil"));
    await built(text.replace("COPY e* /", "COPY d /"), "-t", "hostile");
    await assert.rejects(lstat(join(daemon.folder, "new")), { code: "ENOENT" });
    assert.equal(await runs("hostile", "/bin/cat", `${daemon.folder}/new`), "p");
  });

  test("RUN --mount: files, stages, caches and memory, and nothing of them in the image", async () => {
    await files({ "d/file": "context", Dockerfile: "" });
    await symlink("/etc", join(context, "outside"));
    const text = [
      "FROM payload AS tools",
      'RUN ["/bin/write", "/tool", "from the stage"]',
      "FROM payload",
      'RUN --mount=source=d,target=/m/d,rw ["/bin/write", "/m/d/new", "gone"]',
      'RUN --mount=source=d/file,target=/one ["/bin/cat", "/one"]',
      'RUN --mount=source=d,target=/m/d ["/bin/ls", "/m/d"]',
      'RUN --mount=from=tools,target=/t ["/bin/cat", "/t/tool"]',
      'RUN --mount=type=cache,target=/cache,mode=1777 ["/bin/write", "/cache/kept", "kept"]',
      'RUN --mount=type=cache,target=/cache,sharing=locked ["/bin/cat", "/cache/kept"]',
      'RUN --mount=type=tmpfs,target=/memory ["/bin/write", "/memory/x", "x"]',
      'SHELL ["/bin/cat"]',
      "RUN <<EOF",
      "#!/bin/cat",
      "a script",
      "EOF",
    ].join("\n");
    const output = await built(text, "-t", "mounts");
    for (const part of [
      "context ---> Rem",
      "from the stage\n ---> Rem",
      "kept\n ---> Rem",
      "a script",
    ]) {
      assert.ok(output.includes(part), `${part} in ${output}`);
    }
    assert.doesNotMatch(output, /^new$/m);
    const left = await runs("mounts", "/bin/ls", "/");
    assert.doesNotMatch(left, /^(m|one|t|cache|memory|tool)$/m);
    const usage = await daemon.ok("system", "df", "-v", "--format", "{{json .BuildCache}}");
    assert.match(usage, /"exec.cachemount"/);
    const link = await build(
      'FROM payload\nRUN --mount=source=outside,target=/x ["/bin/ls", "/x"]\n',
    );
    assert.match(link.stderr, /stat outside: file does not exist/);
    const secret = 'FROM payload\nRUN --mount=type=secret,id=s,required ["/bin/true"]\n';
    assert.match((await build(secret)).stderr, /secret s: not found/);
  });

  test("ONBUILD runs in the next image", async () => {
    await files({ f: "f" });
    await built('FROM payload\nONBUILD COPY f /f\nONBUILD RUN ["/bin/cat", "/f"]\n', "-t", "on");
    const output = await built("FROM on\n", "-t", "off");
    assert.match(output, /# Executing 2 build triggers\nStep 2\/3 : COPY f \/f\n/);
    assert.equal(await runs("off", "/bin/cat", "/f"), "f");
    const kept = await daemon.ok("inspect", "-f", "{{json .Config.OnBuild}}", "off");
    assert.equal(kept, "null");
  });

  test("the config that instructions make", async () => {
    await files({});
    const text = [
      "FROM scratch",
      "LABEL a=b",
      "EXPOSE 80 90/udp",
      "VOLUME /data",
      "WORKDIR /w",
      "USER 5:6",
      "STOPSIGNAL SIGINT",
      "HEALTHCHECK --interval=5s CMD true",
      'SHELL ["/bin/other", "-c"]',
      'ENTRYPOINT ["/e"]',
      "CMD run it",
    ].join("\n");
    await built(text, "-t", "config");
    const config = JSON.parse(await daemon.ok("inspect", "-f", "{{json .Config}}", "config"));
    assert.deepEqual(config.Cmd, ["/bin/other", "-c", "run it"]);
    assert.deepEqual(config.Entrypoint, ["/e"]);
    assert.deepEqual(config.ExposedPorts, { "80/tcp": {}, "90/udp": {} });
    assert.deepEqual(config.Volumes, { "/data": {} });
    assert.equal(config.User, "5:6");
    assert.equal(config.WorkingDir, "/w");
    assert.equal(config.StopSignal, "SIGINT");
    assert.equal(config.Healthcheck.Interval, 5e9);
  });

  test("a step has the limits, hosts and user that were asked for", async () => {
    await files({});
    const text = [
      "FROM payload",
      "USER app",
      'RUN ["/bin/id"]',
      'RUN ["/bin/limits"]',
      'RUN ["/bin/cat", "/etc/hosts"]',
    ].join("\n");
    const args = ["--add-host", "friend:10.1.2.3", "--ulimit", "nofile=77:88"];
    const output = await built(text, ...args);
    assert.match(output, /uid=1000 gid=1000/);
    assert.match(output, /77/);
    assert.match(output, /10\.1\.2\.3\tfriend/);
  });

  test("errors say what failed, and where", async () => {
    await files({ "app.js": "" });
    const failed = await build('FROM payload\nRUN ["/bin/exit", "7"]\n');
    assert.equal(failed.code, 7);
    assert.match(failed.stderr, /The command '\/bin\/exit 7' returned a non-zero code: 7/);
    const missing = await build("FROM payload\nCOPY ap.js /\n");
    assert.match(missing.stderr, /stat ap\.js: file does not exist \(did you mean app\.js\?\)/);
    const unknown = await build("FROM payload\nRUNN x\n");
    assert.match(unknown.stderr, /parse error on line 2: unknown instruction: RUNN/);
    const program = await build('FROM payload\nRUN ["/nope"]\n');
    assert.match(program.stderr, /exec: "\/nope": stat \/nope: no such file or directory/);
    const none = await daemon.client(["build", "-f", join(context, "app.js"), context], {
      env: CLASSIC,
    });
    assert.match(none.stderr, /file with no instructions|cannot be empty/);
  });

  test("-q says the image only, and its output when the build fails", async () => {
    await files({});
    const quiet = await built("FROM payload\nLABEL q=1\n", "-q");
    assert.match(quiet, /^sha256:[0-9a-f]{64}\n$/);
  });

  test("a client that goes away ends its step at once and leaves nothing", async () => {
    await files({ Dockerfile: "" });
    await writeFile(join(context, "Dockerfile"), 'FROM payload\nRUN ["/bin/stubborn"]\n');
    const request = await fetchBuild(daemon, context);
    await request.until("stubborn");
    request.leave();
    const builds = join(daemon.folder, "data/builds");
    const containers = join(daemon.folder, "data/containers");
    await until(
      async () => (await readdir(builds)).length + (await readdir(containers)).length === 0,
    );
    assert.deepEqual(await readdir(join(daemon.folder, "exec/m")), []);
  });

  test("the cache is listed, filtered and pruned, and images stay", async () => {
    await files({ f: "some bytes" });
    await built('FROM payload\nCOPY f /f\nRUN ["/bin/write", "/g", "more"]\n', "-t", "kept");
    const usage = await daemon.ok("system", "df", "-v", "--format", "{{json .BuildCache}}");
    const records = JSON.parse(usage) as { ID: string; CacheType: string }[];
    assert.ok(records.length > 2);
    assert.match(await daemon.ok("builder", "prune", "-f", "--filter", "until=24h"), /space: 0B/);
    assert.match(await daemon.ok("builder", "prune", "-af"), /Deleted build cache objects/);
    const empty = await daemon.ok("system", "df", "-v", "--format", "{{json .BuildCache}}");
    assert.deepEqual(JSON.parse(empty), []);
    assert.equal(await runs("kept", "/bin/cat", "/f"), "some bytes");
    const again = await built('FROM payload\nCOPY f /f\nRUN ["/bin/write", "/g", "more"]\n');
    assert.doesNotMatch(again, /Using cache/);
  });

  test("the cache and images are there after a restart, also after a crash", async () => {
    await files({ f: "f" });
    const text = 'FROM payload\nCOPY f /crash\nRUN ["/bin/true"]\n';
    await built(text);
    await daemon.restart("SIGKILL");
    assert.equal((await built(text)).match(/Using cache/g)?.length, 2);
  });

  test("what a daemon that was killed in a build left is gone when it is back", async () => {
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await files({ Dockerfile: 'FROM payload\nRUN ["/bin/stubborn"]\n' });
      const request = await fetchBuild(daemon, context);
      await request.until("stubborn");
      await daemon.restart(signal);
      assert.deepEqual(await readdir(join(daemon.folder, "data/builds")), []);
      assert.deepEqual(await readdir(join(daemon.folder, "data/containers")), []);
      assert.deepEqual(await readdir(join(daemon.folder, "exec/m")), []);
    }
  });

  test("a URL that cannot be fetched is an error with its reason", async () => {
    await files({});
    const { code, stderr } = await build("FROM payload\nADD http://127.0.0.1:9/file /x\n");
    assert.equal(code, 1);
    assert.match(stderr, /ADD failed: cannot fetch http:\/\/127\.0\.0\.1:9\/file/);
  });
});

/** A build over HTTP of which the client can leave in the middle. */
async function fetchBuild(daemon: TestDaemon, context: string) {
  const tar = spawn("tar", ["-C", context, "-c", "."], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const leave = new AbortController();
  const path = "/v1.50/build?networkmode=none";
  const call = request({ socketPath: daemon.socket, path, method: "POST", signal: leave.signal });
  call.on("error", () => {});
  tar.stdout.pipe(call);
  const response = await new Promise<IncomingMessage>((resolve) => call.once("response", resolve));
  response.on("error", () => {});
  let text = "";
  return {
    async until(word: string): Promise<void> {
      response.on("data", (chunk) => (text += chunk));
      await until(async () => text.includes(word));
    },
    leave: () => leave.abort(),
  };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(20);
}
