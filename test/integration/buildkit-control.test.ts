// What drives a build: Control and LLBBridge over a real socket, as docker buildx calls them, with
// an engine that only remembers what it was asked.

import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { GantryError } from "../../src/base/index.ts";
import type { BuildEvent, BuildJob, BuildRecord } from "../../src/engine/index.ts";
import { errdefs, health, secrets } from "../../src/gen/buildkit/index.ts";
import { fakeEngine } from "../fakes/engine.ts";
import {
  type BuildkitServer,
  type GrpcClients,
  openSession,
  serveBuildkit,
  serveSession,
  upgrade,
} from "../support/buildkit-client.ts";

const fake = fakeEngine();
const GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const SECRETS = {
  methods: [GET_SECRET],
  routes: (router: Parameters<Parameters<typeof serveSession>[1]>[0]) =>
    router.service(secrets.Secrets, { getSecret: () => ({ data: Buffer.from("s") }) }),
};
let server: BuildkitServer;
let path: string;
let grpc: GrpcClients;

before(async () => {
  server = await serveBuildkit(fake.engine);
  ({ path, grpc } = server);
});
after(() => server.close());

/** What builds come to until the next call: their jobs, in order. */
function builds(metadata: Record<string, string> = {}): BuildJob[] {
  const jobs: BuildJob[] = [];
  fake.answers.set("builds.solve", async (job: BuildJob) => {
    jobs.push(job);
    return { metadata, images: [], warnings: [] };
  });
  return jobs;
}
const never = new AbortController().signal;
const text = (bytes: Uint8Array = new Uint8Array()): string => Buffer.from(bytes).toString();
const inBuild = (ref: string) => ({ headers: { "buildkit-controlapi-buildid": ref } });

test("a client that asks for no upgrade, or for another protocol, is told so", async () => {
  await assert.rejects(
    upgrade(path, "/grpc", { Upgrade: "tcp" }),
    /400 .*protocol tcp not supported/,
  );
  await assert.rejects(upgrade(path, "/session", { Upgrade: "websocket" }), /400 .*not supported/);
  await assert.rejects(upgrade(path, "/session"), /400 .*a session needs an id/);
  const response = await fetchPlain("/grpc");
  assert.match(response, /400 .*no upgrade proto/s);
});

function fetchPlain(url: string): Promise<string> {
  return upgrade(path, url, { Connection: "close", Upgrade: "" }).then(
    () => assert.fail("it was upgraded"),
    (error: Error) => error.message,
  );
}

test("two sessions of one id are not taken", async () => {
  const first = await openSession(path, { id: "twin", methods: [] });
  await assert.rejects(
    openSession(path, { id: "twin", methods: [] }),
    /session twin already exists/,
  );
  first.destroy();
});

test("a Solve that names its front end is a job with all that was asked", async () => {
  const jobs = builds({ "containerimage.digest": "sha256:1" });
  const session = await openSession(path, { id: "s1", sharedKey: "k", ...SECRETS });
  const { exporterResponse } = await grpc.control.solve({
    ...{ ref: "b1", session: "s1", frontend: "dockerfile.v0", entitlements: ["network.host"] },
    frontendAttrs: {
      ...{ filename: "sub/My.Dockerfile", target: "app", platform: "linux/arm64,amd64" },
      ...{ "build-arg:A": "1", "label:l": "v", "no-cache": "a,b", "image-resolve-mode": "pull" },
      ...{ "add-hosts": "db=10.0.0.1,six=::1", ulimit: "nofile=1:2,core=0", "shm-size": "4096" },
      ...{ "cgroup-parent": "/x", "force-network-mode": "host", hostname: "me" },
      ...{ "attest:provenance": "mode=max,version=v1", "attest:sbom": "disabled=true" },
      ...{ "vcs:revision": "abc", "context:base": "docker-image://alpine:3.20" },
      ...{ "context:src": "https://example.com/x.git#main:dir", "context:docs": "local:docs" },
      "cache-imports": JSON.stringify([{ Type: "local", Attrs: { src: "/c" } }]),
      "gantry:explain": "true",
    },
    cache: {
      exports: [{ type: "registry", attrs: { ref: "r/c", mode: "max" } }],
      imports: [{ type: "registry", attrs: { ref: "r/c" } }],
    },
    exporters: [
      { type: "moby", attrs: { name: "x:1" } },
      { type: "tar", attrs: {} },
    ],
  });
  assert.deepEqual(exporterResponse, { "containerimage.digest": "sha256:1" });
  const job = jobs[0]!;
  assert.equal(job.ref, "b1");
  assert.deepEqual(job.dockerfile, { context: "dockerfile", path: "sub/My.Dockerfile" });
  assert.equal(job.target, "app");
  assert.deepEqual(
    job.platforms.map(({ architecture }) => architecture),
    ["arm64", "amd64"],
  );
  assert.deepEqual({ ...job.buildArgs }, { A: "1", BUILDKIT_SANDBOX_HOSTNAME: "me" });
  assert.deepEqual([{ ...job.labels }, job.noCache, job.pull], [{ l: "v" }, ["a", "b"], true]);
  assert.deepEqual(job.hostConfig, {
    ...{ ShmSize: 4096, CgroupParent: "/x", NetworkMode: "host" },
    Ulimits: [
      { Name: "nofile", Soft: 1, Hard: 2 },
      { Name: "core", Soft: 0, Hard: 0 },
    ],
    ExtraHosts: ["db:10.0.0.1", "six:::1"],
  });
  assert.deepEqual([...job.attest], [["provenance", { mode: "max", version: "v1" }]]);
  assert.deepEqual([{ ...job.vcs }, job.explain], [{ revision: "abc" }, true]);
  assert.deepEqual(
    [...job.contexts].map(([name, { kind }]) => [name, kind]),
    [
      ["", "session"],
      ["base", "image"],
      ["src", "git"],
      ["docs", "session"],
      ["dockerfile", "session"],
    ],
  );
  assert.deepEqual(
    job.cacheFrom.map(({ type }) => type),
    ["registry", "local"],
  );
  assert.deepEqual(job.cacheTo, [{ type: "registry", attrs: { ref: "r/c", mode: "max" } }]);
  assert.deepEqual(
    job.outputs.map(({ type, exporter }) => [type, exporter]),
    [
      ["moby", "0"],
      ["tar", "1"],
    ],
  );
  assert.equal(text(await job.session?.secret("x", { signal: never })), "s");
  assert.equal(job.session?.sharedKey, "k");
  session.destroy();
});

const refused: readonly (readonly [
  string,
  RegExp,
  Parameters<GrpcClients["control"]["solve"]>[0],
])[] = [
  [
    "a low-level definition",
    /definition \(LLB\) is not supported/,
    { definition: { def: [Buffer.from("x")] } },
  ],
  [
    "a front end of somebody else's",
    /front end "example\.com\/own" is not supported/,
    { frontend: "gateway.v0", frontendAttrs: { source: "example.com/own" } },
  ],
  ["an unknown front end", /front end other\.v0/, { frontend: "other.v0" }],
  ["an unknown attribute", /attribute "bogus" is not supported/, { frontendAttrs: { bogus: "1" } }],
  [
    "the host's network without leave",
    /network\.host is not allowed/,
    { frontendAttrs: { "force-network-mode": "host" } },
  ],
  ["rules over sources", /source policies/, { sourcePolicy: { rules: [{}] } }],
  ["a folder without a session", /no active sessions/, {}],
  [
    "an input that nobody made",
    /no result of a build/,
    { frontendAttrs: { context: "http://e.com/x", "context:a": "input:a" } },
  ],
  [
    "a source of an unknown kind",
    /unsupported context source "ftp:/,
    { frontendAttrs: { context: "ftp://e.com/x" } },
  ],
];
for (const [what, message, request] of refused) {
  test(`a Solve with ${what} is refused, not built without it`, async () => {
    const jobs = builds();
    await assert.rejects(
      grpc.control.solve({ ref: "no", frontend: "dockerfile.v0", ...request }),
      message,
    );
    assert.equal(jobs.length, 0);
  });
}

test("every version of the Dockerfile language is the built-in front end", async () => {
  const jobs = builds();
  const source = "docker/dockerfile:1.7-labs";
  const frontendAttrs = { source, context: "https://example.com/a.git", contextsubdir: "sub" };
  await grpc.control.solve({ ref: "v", frontend: "gateway.v0", frontendAttrs });
  assert.deepEqual(jobs[0]?.contexts.get(""), {
    ...{ kind: "git", url: "https://example.com/a.git#:sub" },
  });
  assert.deepEqual(jobs[0]?.dockerfile, { context: "", path: "Dockerfile" });
});

test("a client that is its own front end builds what it returns, once", async () => {
  const jobs = builds({ "image.name": "x" });
  const solving = grpc.control.solve({ ref: "gw", exporters: [{ type: "image", attrs: {} }] });
  const pong = await grpc.bridge.ping({}, inBuild("gw"));
  assert(pong.frontendApiCaps.some(({ id, enabled }) => id === "solve.base" && enabled));
  const frontendOpt = { context: "https://example.com/a.git", target: "t" };
  const ask = { frontend: "dockerfile.v0", frontendOpt, allowResultReturn: true };
  const { result } = await grpc.bridge.solve(ask, inBuild("gw"));
  assert.equal(result?.result.case, "ref");
  assert.equal(jobs.length, 0);
  await grpc.bridge.return({ result: { result: result!.result } }, inBuild("gw"));
  assert.deepEqual((await solving).exporterResponse, { "image.name": "x" });
  assert.equal(jobs.length, 1);
  assert.equal(jobs[0]?.target, "t");
  assert.equal(jobs[0]?.outputs.length, 1);
});

test("a question about the Dockerfile is answered, and nothing is built", async () => {
  const jobs = builds();
  fake.answers.set("builds.subrequest", async (name: string) => ({ "result.txt": name }));
  const solving = grpc.control.solve({ ref: "q" });
  const frontendOpt = { context: "https://example.com/a.git", requestid: "frontend.outline" };
  const ask = { frontend: "dockerfile.v0", frontendOpt, allowResultReturn: true };
  const { result } = await grpc.bridge.solve(ask, inBuild("q"));
  assert.equal(text(result?.metadata["result.txt"]), "frontend.outline");
  await grpc.bridge.return({ result: { metadata: result!.metadata } }, inBuild("q"));
  assert.deepEqual((await solving).exporterResponse, {});
  assert.equal(jobs.length, 0);
});

test("one target's result is another's base", async () => {
  const jobs = builds();
  const ask = (frontendOpt: Record<string, string>) => ({
    ...{ frontend: "dockerfile.v0", frontendOpt, allowResultReturn: true },
  });
  const main = { context: "https://example.com/a.git" };
  const first = grpc.control.solve({ ref: "base" });
  const base = await grpc.bridge.solve(ask({ ...main, target: "base" }), inBuild("base"));
  const ref = base.result!.result;
  assert(ref.case === "ref" && ref.value.def && Object.keys(ref.value.def.metadata).length > 0);
  const second = grpc.control.solve({ ref: "app" });
  const app = await grpc.bridge.solve(
    {
      ...ask({ ...main, "context:b": "input:b" }),
      frontendInputs: { b: ref.value.def },
    },
    inBuild("app"),
  );
  await grpc.bridge.return({ result: { result: app.result!.result } }, inBuild("app"));
  await second;
  await grpc.bridge.return({ result: { result: ref } }, inBuild("base"));
  await first;
  const linked = jobs[0]?.contexts.get("b");
  assert(linked?.kind === "build");
  assert.equal(linked.job.target, "base");
});

test("a client's own failure ends its Solve with it", async () => {
  const failed = assert.rejects(grpc.control.solve({ ref: "bad" }), /no 100% match/);
  await grpc.bridge.return({ error: { code: 5, message: "no 100% match" } }, inBuild("bad"));
  await failed;
});

test("an error of the Dockerfile comes with its lines, and no code before its words", async () => {
  const source = Buffer.from("FROM a\nRUNN b\n");
  fake.answers.set("builds.solve", async () => {
    throw new GantryError("invalid", "unknown instruction: RUNN", {
      detail: { file: "Dockerfile", line: 2, endLine: 2, source },
    });
  });
  const frontendAttrs = { context: "https://example.com/a.git" };
  const failure = await grpc.control
    .solve({ ref: "e", frontend: "dockerfile.v0", frontendAttrs })
    .catch((error) => error);
  assert.equal(failure.rawMessage, "unknown instruction: RUNN");
  assert.equal(failure.code, 2);
  const [place] = failure.findDetails(errdefs.SourceSchema);
  assert.equal(text(place.info.data), text(source));
  assert.equal(place.ranges[0].start.line, 2);
});

test("a client that goes away ends its build, whichever of its connections it loses", async () => {
  for (const lost of ["session", "call"]) {
    const ended = Promise.withResolvers<unknown>();
    const begun = Promise.withResolvers<void>();
    fake.answers.set("builds.solve", (_job: BuildJob, { signal }: { signal: AbortSignal }) => {
      begun.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          ended.resolve(signal.reason);
          reject(signal.reason);
        });
      });
    });
    const session = await openSession(path, { id: `lost-${lost}`, methods: [] });
    const abort = new AbortController();
    const request = {
      ...{ ref: `l-${lost}`, session: `lost-${lost}`, frontend: "dockerfile.v0" },
      frontendAttrs: { context: "https://example.com/a.git" },
    };
    const failed = assert.rejects(grpc.control.solve(request, { signal: abort.signal }));
    await begun.promise;
    if (lost === "session") session.destroy();
    else abort.abort();
    await ended.promise;
    await failed;
    session.destroy();
  }
});

const vertex = (digest: string) => ({ digest, inputs: [], name: digest, cached: false });

test("Status tells everything, in order, in messages that a slow reader does not multiply", async () => {
  const lines = 20_000;
  fake.answers.set("builds.follow", async function* (): AsyncGenerator<BuildEvent> {
    yield { kind: "vertex", vertex: { ...vertex("v"), startedAtMs: 1_700_000_000_123 } };
    for (let line = 0; line < lines; line++) {
      yield { kind: "log", vertex: "v", stream: 2, bytes: Buffer.from(`${line}\n`), atMs: 5 };
    }
    yield {
      kind: "status",
      status: { id: "p", vertex: "v", name: "p", current: 1, total: 2, atMs: 7 },
    };
    const source = {
      fileName: "Dockerfile",
      text: Buffer.from("x"),
      ranges: [{ start: 1, end: 2 }],
    };
    const warning = { vertex: "v", level: 1, short: "s", detail: ["d"], url: "u", source };
    yield { kind: "warning", warning };
    yield { kind: "vertex", vertex: { ...vertex("v"), error: "no", completedAtMs: 9 } };
  });
  let messages = 0;
  const logs: string[] = [];
  const last: { error?: string; warnings: number; started?: bigint } = { warnings: 0 };
  for await (const message of grpc.control.status({ ref: "any" })) {
    messages++;
    logs.push(...message.logs.map(({ msg }) => text(msg)));
    last.warnings += message.warnings.length;
    for (const { error, started } of message.vertexes) {
      if (started) last.started = started.seconds;
      last.error = error;
    }
  }
  assert.equal(logs.join(""), Array.from({ length: lines }, (_, line) => `${line}\n`).join(""));
  assert(messages <= lines / 10, `${messages} messages`);
  assert.deepEqual(last, { warnings: 1, error: "no", started: 1_700_000_000n });
});

test("Status ends when its Solve ends without a build, though it came first", async () => {
  const following = Promise.withResolvers<void>();
  fake.answers.set("builds.follow", async function* (_ref: string, o: { signal: AbortSignal }) {
    following.resolve();
    await new Promise<void>((resolve) => o.signal.addEventListener("abort", () => resolve()));
    o.signal.throwIfAborted();
    yield* [];
  });
  const told = (async () => {
    for await (const _ of grpc.control.status({ ref: "none" })) assert.fail("nothing happened");
  })();
  await following.promise;
  const solving = grpc.control.solve({ ref: "none" });
  await grpc.bridge.return({}, inBuild("none"));
  await solving;
  await told;
});

test("a session may come through Control.Session", async () => {
  const jobs = builds();
  const outgoing: { chunk: Buffer; done: () => void }[] = [];
  let news = Promise.withResolvers<void>();
  const socket = new Duplex({
    read: () => {},
    write: (chunk, _encoding, done) => {
      outgoing.push({ chunk, done });
      news.resolve();
    },
  });
  const abort = new AbortController();
  async function* sent(): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    for (;;) {
      await news.promise;
      news = Promise.withResolvers();
      for (let next = outgoing.shift(); next; next = outgoing.shift()) {
        yield { data: next.chunk as Buffer<ArrayBuffer> };
        next.done();
      }
    }
  }
  const headers = {
    "x-docker-expose-session-uuid": "tunnelled",
    "x-docker-expose-session-grpc-method": GET_SECRET,
  };
  const tunnel = grpc.control.session(sent(), { headers, signal: abort.signal });
  const reading = (async () => {
    for await (const { data } of tunnel) socket.push(Buffer.from(data));
  })();
  serveSession(socket, SECRETS.routes);
  let secret: Uint8Array | undefined;
  fake.answers.set("builds.solve", async (job: BuildJob) => {
    jobs.push(job);
    secret = await job.session?.secret("x", { signal: never });
    return { metadata: {}, images: [], warnings: [] };
  });
  const frontendAttrs = { context: "https://example.com/a.git" };
  await grpc.control.solve({
    ref: "t",
    session: "tunnelled",
    frontend: "dockerfile.v0",
    frontendAttrs,
  });
  assert.equal(text(secret), "s");
  const { session } = jobs[0]!;
  const gone = new Promise((resolve) => session!.closed.addEventListener("abort", resolve));
  abort.abort();
  await reading.catch(() => {});
  await gone;
});

test("usage is listed and pruned by BuildKit's filters", async () => {
  const row = (ID: string, Type: string, LastUsedAt: string) => ({
    ...{ ID, Type, Parents: [], Description: `step ${ID}`, InUse: false, Shared: false, Size: 3 },
    ...{ CreatedAt: LastUsedAt, LastUsedAt, UsageCount: 1 },
  });
  const old = "2020-01-01T00:00:00.000Z";
  const rows = [row("a", "regular", old), row("b", "exec.cachemount", old)];
  fake.answers.set("system.df", async () => ({ BuildCache: rows }));
  const pruned: unknown[] = [];
  fake.answers.set("builds.prune", async (o: { filters?: Map<string, string[]> }) => {
    pruned.push(o);
    return { deleted: o.filters?.get("id") ?? ["a", "b"], spaceReclaimed: 0 };
  });
  const list = async (...filter: string[]) =>
    (await grpc.control.diskUsage({ filter })).record.map(({ id }) => id);
  assert.deepEqual(await list(), ["a", "b"]);
  assert.deepEqual(await list("type==exec.cachemount"), ["b"]);
  assert.deepEqual(await list("type!=regular", 'description=="step a"'), ["a", "b"]);
  assert.deepEqual(await list("id~=^a$,private"), ["a"]);
  assert.deepEqual(await list("inuse"), []);
  await assert.rejects(list("type=="), /invalid filter/);
  const prune = async (request: Parameters<typeof grpc.control.prune>[0]) => {
    const gone: string[] = [];
    for await (const { id } of grpc.control.prune(request)) gone.push(id);
    return gone;
  };
  assert.deepEqual(await prune({ filter: ["type==regular"], all: true }), ["a"]);
  assert.deepEqual(await prune({ keepDuration: 3_600_000_000_000n }), ["a", "b"]);
  assert.deepEqual(await prune({ filter: ["inuse"] }), []);
  assert.deepEqual(await prune({ maxUsedSpace: 5n }), ["a", "b"]);
  assert.equal(pruned.length, 3);
});

test("the history is listed, pinned and forgotten", async (t) => {
  const record = (ref: string, status: BuildRecord["status"]): BuildRecord => ({
    ...{ ref, name: ref, attrs: { target: "t" }, status, startedAtMs: 1000, stepsTotal: 3 },
    ...{ stepsCompleted: 2, stepsCached: 1, warnings: 0, images: {}, metadata: { k: "v" } },
    ...{ materials: [], pinned: false, ...(status === "failed" && { error: "exit code: 1" }) },
  });
  const done: unknown[] = [];
  const history = {
    listen: async function* () {
      yield { kind: "complete", record: record("one", "completed") };
      yield { kind: "complete", record: record("two", "failed") };
    },
    remove: async (ref: string) => void done.push(["remove", ref]),
    pin: (...args: unknown[]) => void done.push(["pin", ...args]),
  };
  const engine = { ...fake.engine, builds: { history } } as unknown as typeof fake.engine;
  const own = await serveBuildkit(engine);
  const client = own.grpc;
  t.after(() => own.close());
  const list = async (request: Parameters<typeof client.control.listenBuildHistory>[0]) => {
    const found = [];
    for await (const event of client.control.listenBuildHistory(request)) found.push(event.record);
    return found;
  };
  const all = await list({ earlyExit: true });
  assert.deepEqual(
    all.map((one) => [one?.ref, one?.error?.message, one?.numTotalSteps]),
    [
      ["one", undefined, 3],
      ["two", "exit code: 1", 3],
    ],
  );
  assert.deepEqual((await list({ earlyExit: true, filter: ["status==error"] })).length, 1);
  assert.deepEqual((await list({ earlyExit: true, limit: 1 }))[0]?.ref, "two");
  assert.deepEqual((await list({ earlyExit: true, ref: "one" })).length, 1);
  await client.control.updateBuildHistory({ ref: "one", pinned: true });
  await client.control.updateBuildHistory({ ref: "two", delete: true });
  assert.deepEqual(done, [
    ["pin", "one", true],
    ["remove", "two"],
  ]);
});

test("a health check is answered", async () => {
  const socket = await upgrade(path, "/grpc");
  const transport = createGrpcTransport({
    baseUrl: "http://localhost",
    nodeOptions: { createConnection: () => socket } as never,
  });
  const { status } = await createClient(health.Health, transport).check({});
  assert.equal(status, health.HealthCheckResponse_ServingStatus.SERVING);
  socket.destroy();
});

test("bytes that are no HTTP/2 end the connection, and nothing else", async () => {
  const socket = await upgrade(path, "/grpc");
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.on("error", () => {});
  socket.resume();
  socket.write(Buffer.alloc(64 * 1024, 0xff));
  await closed;
  const info = await grpc.control.info({});
  assert.equal(info.buildkitVersion?.version, "v0.1.0");
});
