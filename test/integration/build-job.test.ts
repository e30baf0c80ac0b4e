// Builds through the engine's own door, on the real kernel: what is told, what comes out, what is
// kept of builds that were.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { BuildJob, HistoryEvent } from "../../src/index.ts";
import { buildJob, Told } from "../support/build-job.ts";
import { EngineFixture } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
let count = 0;
before(async () => {
  fixture = await EngineFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

const image = (name: string) => ({
  outputs: [{ type: "image", attrs: { name }, exporter: "0" }],
});

async function build(files: Record<string, string>, more: Partial<BuildJob> = {}) {
  const { builds } = fixture.engine;
  const told = new Told();
  const ref = `job-${++count}`;
  const outcome = await builds.solve(buildJob(ref, files, more), { tell: told.tell });
  return { ref, told, outcome };
}

async function runs(name: string, ...command: string[]): Promise<string> {
  const hostConfig = { NetworkMode: "none", AutoRemove: true };
  return (await fixture.engine.run({ image: name, command, hostConfig })).stdout;
}

test("a build tells its steps in BuildKit's words and makes an image that runs", async () => {
  const Dockerfile =
    'FROM payload AS one\nCOPY a /a\nRUN ["/bin/cat", "/a"]\n' +
    'FROM payload\nCOPY --from=one /a /b\nCMD ["/bin/cat", "/b"]\n';
  const files = { Dockerfile, a: "hello" };
  const { told, outcome } = await build(files, image("words:1"));
  for (const name of [
    "[internal] load build definition from Dockerfile",
    "[internal] load metadata for docker.io/library/payload:latest",
    "[internal] load build context",
    "[one 1/3] FROM docker.io/library/payload:latest",
    "[one 2/3] COPY a /a",
    "[stage-1 2/2] COPY --from=one /a /b",
    "exporting to image",
  ]) {
    assert.equal(told.vertex(name).error, undefined);
    assert(told.vertex(name).completedAtMs, `${name} has ended`);
  }
  assert.equal(told.output("[one 3/3] RUN"), "hello");
  assert.equal(await runs("words:1"), "hello");
  const [built] = outcome.images;
  assert.equal(outcome.metadata["containerimage.config.digest"], built?.id);
  assert.deepEqual(
    built?.steps.map(({ cached }) => cached),
    [false, false, false],
  );
  const second = await build(files, image("words:1"));
  assert(second.told.vertex("[one 3/3] RUN").cached);
  assert.equal(second.outcome.images[0]?.id, built?.id);
});

test("a vertex names what it depends on, and has the same digest in the next build", async () => {
  const files = { Dockerfile: "FROM payload\nCOPY a /a\nWORKDIR /w\n", a: "inputs" };
  const first = (await build(files)).told;
  const copy = first.vertex("[2/3] COPY");
  const inputs = ["[1/3] FROM", "[internal] load build context"].map((name) => first.digest(name));
  assert.deepEqual([...copy.inputs].sort(), inputs.sort());
  assert.deepEqual(first.vertex("[3/3] WORKDIR").inputs, [copy.digest]);
  assert.equal((await build(files)).told.vertex("[2/3] COPY").digest, copy.digest);
});

test("a program builds a folder, and its ignore file counts", async () => {
  const context = join(fixture.root, "app");
  await mkdir(context);
  await writeFile(join(context, "Dockerfile"), "FROM payload\nCOPY . /app\n");
  await writeFile(join(context, ".dockerignore"), "*.log\n");
  for (const name of ["a.txt", "b.log"]) await writeFile(join(context, name), name);
  const outcome = await fixture.engine.build({ context, tags: ["app:1", "app:2"] });
  assert.deepEqual((await runs("app:2", "/bin/ls", "/app")).match(/[ab]\.\w+/g), ["a.txt"]);
  assert.equal(outcome.metadata["image.name"], "docker.io/library/app:1,docker.io/library/app:2");
});

test("several platforms share the steps that are the same for all", async () => {
  const Dockerfile =
    "FROM --platform=$BUILDPLATFORM payload AS make\n" +
    'RUN ["/bin/write", "/out", "once"]\n' +
    "FROM scratch\nARG TARGETARCH\nCOPY --from=make /out /$TARGETARCH\n";
  const platforms = ["amd64", "arm64"].map((architecture) => ({ os: "linux", architecture }));
  const { told, outcome } = await build({ Dockerfile }, { platforms });
  const runsTold = told.names().filter((name) => name.includes("] RUN"));
  assert.equal(runsTold.length, 1);
  assert.deepEqual(
    outcome.images.map(({ platform }) => platform.architecture),
    ["amd64", "arm64"],
  );
  assert(told.vertex("[linux/arm64 stage-1 1/1] COPY"));
});

test("RUN for a processor that nothing emulates is refused before anything runs", async () => {
  const Dockerfile = 'FROM scratch\nRUN ["/x"]\n';
  const platforms = [{ os: "linux", architecture: "s390x" }];
  const error = await build({ Dockerfile }, { platforms }).catch((one) => one);
  assert.match(error.message, /^cannot run commands of linux\/s390x on this machine/);
  assert.equal(error.detail.line, 2);
});

test("a failed step is told with the file's line, and the other steps end", async () => {
  const told = new Told();
  const Dockerfile =
    'FROM payload AS slow\nRUN ["/bin/sleep", "600"]\n' +
    'FROM payload\nCOPY --from=slow /bin /b\nRUN ["/bin/exit", "3"]\n' +
    'FROM payload\nRUN ["/bin/exit", "3"]\nCOPY --from=slow /bin /b\n';
  const job = buildJob("fails", { Dockerfile });
  const error = await fixture.engine.builds.solve(job, { tell: told.tell }).catch((one) => one);
  const message = 'process "/bin/exit 3" did not complete successfully: exit code: 3';
  assert.equal(error.message, message);
  assert.equal(error.detail.line, 7);
  assert.equal(told.vertex("[stage-2 2/3] RUN").error, message);
  assert.equal(told.vertex("[slow 2/2] RUN").error, "context canceled");
});

test("only the steps of the stages that are named run without the cache", async () => {
  const Dockerfile =
    'FROM payload AS one\nRUN ["/bin/write", "/1", "a"]\n' +
    'FROM payload AS two\nCOPY --from=one /1 /1\nRUN ["/bin/write", "/2", "b"]\n';
  await build({ Dockerfile });
  const { told } = await build({ Dockerfile }, { noCache: ["TWO"] });
  assert(told.vertex("[one 2/2] RUN").cached);
  assert(!told.vertex("[two 3/3] RUN").cached);
});

test("named contexts stand before images and stages", async () => {
  const Dockerfile =
    "FROM base AS one\nFROM payload\nCOPY --from=one /f /f\nCOPY --from=img /bin/cat /x/cat\n";
  const base = buildJob("", { f: "from a folder" }).contexts.get("")!;
  const job = buildJob("named", { Dockerfile }, image("named:1"));
  const contexts = new Map([
    ...job.contexts,
    ["base", base],
    ["img", { kind: "image", reference: "payload" }],
  ] as const);
  await fixture.engine.builds.solve({ ...job, contexts });
  assert.equal(await runs("named:1", "/x/cat", "/f"), "from a folder");
});

test("the checks of a Dockerfile are warnings, and errors where it says so", async () => {
  const Dockerfile = "FROM payload as one\n";
  const { told, outcome } = await build({ Dockerfile });
  const short = "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)";
  assert.deepEqual(told.warnings(), [short]);
  assert.equal(outcome.warnings[0]?.source?.ranges[0]?.start, 1);
  await assert.rejects(build({ Dockerfile: `# check=error=true\n${Dockerfile}` }), {
    message: "lint violation found for rules: FromAsCasing",
  });
});

test("a build argument that nothing declares is warned of, with what was meant", async () => {
  const Dockerfile = "FROM payload\nARG COLOUR\n";
  const { told } = await build({ Dockerfile }, { buildArgs: { COLOR: "red" } });
  const [warning = ""] = told.warnings();
  assert.match(warning, /^One or more build-args \[COLOR \(did you mean COLOUR\?\)\] were not/);
});

test("subrequests are answered without building", async () => {
  const Dockerfile =
    "# WHO is greeted\nARG WHO=you\nFROM payload AS base\n# all does everything\nFROM base AS all\n" +
    "ARG WHO\nRUN --mount=type=secret,id=key,required echo $WHO\n";
  const ask = async (name: string) =>
    await fixture.engine.builds.subrequest(name, buildJob("asks", { Dockerfile }));
  const outline = JSON.parse((await ask("frontend.outline"))["result.json"]!);
  assert.deepEqual([outline.name, outline.description], ["all", "does everything"]);
  const [arg] = outline.args;
  assert.deepEqual([arg.name, arg.value, arg.description], ["WHO", "you", "is greeted"]);
  assert.deepEqual([outline.secrets[0].name, outline.secrets[0].required], ["key", true]);
  const { targets } = JSON.parse((await ask("frontend.targets"))["result.json"]!);
  assert.deepEqual(
    targets.map((target: { name: string; default?: boolean }) => [target.name, target.default]),
    [
      ["base", undefined],
      ["all", true],
    ],
  );
  const lint = await ask("frontend.lint");
  assert.equal(lint["result.statuscode"], "0");
  assert.equal(lint["result.txt"], "Check complete, no warnings found.\n");
  const requests = JSON.parse((await ask("frontend.subrequests.describe"))["result.json"]!);
  assert.equal(requests.length, 4);
  await assert.rejects(ask("frontend.nothing"), { kind: "not-implemented" });
});

test("--explain says which file, variable or step is the reason", async () => {
  const text = (env: string) =>
    `FROM payload AS explained\nCOPY a b /d/\n${env}RUN ["/bin/cat", "/d/a"]\nWORKDIR /w\n`;
  const files = { a: "1", b: "1", Dockerfile: text("") };
  const because = async (changed: object) => {
    const { told } = await build({ ...files, ...changed }, { explain: true });
    return (name: string) => told.vertex(told.names().find((one) => one.includes(name))!).because;
  };
  assert.equal((await because({}))("COPY"), "runs: it has not run here before");
  const same = await because({});
  assert.equal(same("RUN"), "cached: nothing changed");
  const file = await because({ b: "2" });
  assert.equal(file("COPY"), "runs: b changed");
  assert.equal(file("RUN"), "runs: COPY a b /d/ made other files");
  const variable = await because({ b: "2", Dockerfile: text("ENV COLOUR=red\n") });
  assert.equal(variable("COPY"), "cached: nothing changed");
  assert.equal(variable("RUN"), "runs: COLOUR in the environment is new");
  const back = await because({});
  assert.equal(back("COPY"), "cached, as it was once before: b changed");
});

test("a follower gets everything from the beginning, before, while and after it is built", async () => {
  const { builds } = fixture.engine;
  const names = async (ref: string) => {
    const seen = new Told();
    for await (const event of builds.follow(ref)) seen.tell(event);
    return seen.names();
  };
  const early = names("followed");
  const Dockerfile = 'FROM payload\nRUN ["/bin/write", "/f", "x"]\n';
  const told = new Told();
  await builds.solve(buildJob("followed", { Dockerfile }), { tell: told.tell });
  assert.deepEqual(await early, told.names());
  assert.deepEqual(await names("followed"), told.names());
  assert(told.names().includes('[2/2] RUN ["/bin/write", "/f", "x"]'));
});

test("who waits for a build hears of one that is refused at once", async () => {
  const { builds } = fixture.engine;
  const waiting = builds.follow("refused")[Symbol.asyncIterator]().next();
  const outputs = [{ type: "no such exporter", attrs: {}, exporter: "0" }];
  await assert.rejects(builds.solve(buildJob("refused", {}, { outputs })));
  assert.equal((await waiting).done, true);
});

test("a build that is cancelled ends its step and is on record as cancelled", async () => {
  const { builds } = fixture.engine;
  const Dockerfile = 'FROM payload\nRUN ["/bin/sleep", "600"]\n';
  const running = Promise.withResolvers<void>();
  const tell: Told["tell"] = (event) => {
    if (event.kind !== "vertex" || !event.vertex.name.includes("RUN")) return;
    if (event.vertex.startedAtMs) running.resolve();
  };
  const building = builds.solve(buildJob("cancelled", { Dockerfile }), { tell });
  building.catch(() => {});
  await running.promise;
  assert.equal(builds.history.get("cancelled")?.status, "running");
  builds.cancel("cancelled");
  await assert.rejects(building, { kind: "cancelled" });
  assert.equal(builds.history.get("cancelled")?.status, "cancelled");
  assert.throws(() => builds.cancel("cancelled"), { kind: "not-found" });
});

test("a build whose follower does not read can be cancelled", async () => {
  const { builds } = fixture.engine;
  const Dockerfile = 'FROM payload\nRUN ["/bin/spam", "100000000"]\n';
  const following = builds.follow("unread")[Symbol.asyncIterator]();
  const first = following.next();
  const job = buildJob("unread", { Dockerfile });
  let said = 0;
  let cancelling: Promise<void> | undefined;
  const tell: Told["tell"] = (event) => {
    if (event.kind === "log") said += event.bytes.length;
    // By then the step is held back: its output is read far faster than this.
    if (said > 1024 * 1024) cancelling ??= delay(200).then(() => builds.cancel("unread"));
  };
  await assert.rejects(builds.solve(job, { tell }), { kind: "cancelled" });
  await Promise.all([first, cancelling]);
  await following.return?.();
});

test("the history outlives the engine; a listener hears of every build", async () => {
  const { builds } = fixture.engine;
  const heard: string[] = [];
  const stop = new AbortController();
  const listening = (async () => {
    for await (const { kind, record } of builds.history.listen({ signal: stop.signal })) {
      if (!record.ref.startsWith("history")) continue;
      heard.push(`${kind} ${record.ref}`);
      if (kind === "deleted") stop.abort();
    }
  })();
  const job = buildJob("history-1", { Dockerfile: "FROM payload\nWORKDIR /h\n" }, image("h:1"));
  const outcome = await builds.solve(job);
  await fixture.close();
  const engine = await fixture.open();
  const record = engine.builds.history.get("history-1");
  assert.deepEqual([record?.name, record?.status, record?.error], ["h:1", "completed", undefined]);
  assert.deepEqual(Object.values(record?.images ?? {}), [outcome.images[0]?.id]);
  assert.equal(record?.materials[0]?.uri.startsWith("pkg:docker/payload@latest"), true);
  const told = new Told();
  for await (const event of engine.builds.follow("history-1")) told.tell(event);
  assert(told.vertex("[2/2] WORKDIR").completedAtMs);
  const once: HistoryEvent[] = [];
  for await (const event of engine.builds.history.listen({ once: true })) once.push(event);
  assert(once.some(({ kind, record: one }) => kind === "complete" && one.ref === "history-1"));
  await engine.builds.history.remove("history-1");
  assert.equal(engine.builds.history.get("history-1"), undefined);
  await assert.rejects(engine.builds.history.remove("history-1"), { kind: "not-found" });
  assert.deepEqual(heard, ["started history-1", "complete history-1"]);
  stop.abort();
  await listening;
});

test("a shell runs in what a failed step left, until it is let go", async () => {
  const { builds } = fixture.engine;
  const Dockerfile =
    "FROM payload\nWORKDIR /w\nENV COLOUR=red\n" +
    'RUN --mount=type=bind,target=/ctx ["/bin/exit", "4"]\n';
  const job = buildJob("kept", { Dockerfile, file: "in the context" }, { keepFailed: true });
  await assert.rejects(builds.solve(job), /exit code: 4/);
  assert.equal(builds.failures.get("kept")?.exitCode, 4);
  const says = async (...args: string[]) => {
    const shell = await builds.failures.shell("kept", { args, tty: true });
    const said = await text(shell.stream);
    return [said, await shell.ended];
  };
  assert.deepEqual(await says("/bin/cat", "/ctx/file"), ["in the context", 0]);
  assert.deepEqual(await says("/bin/exit", "7"), ["", 7]);
  assert.equal(builds.failures.get("kept")?.shellExitCode, 7);
  const held = await builds.failures.shell("kept", { args: ["/bin/cat"], tty: false });
  await assert.rejects(builds.failures.shell("kept", { tty: true }), { kind: "conflict" });
  held.stream.resume();
  await builds.failures.release("kept");
  assert.equal(await held.ended, 137);
  await assert.rejects(builds.failures.shell("kept", { tty: true }), { kind: "not-found" });
});
