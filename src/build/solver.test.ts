import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError, KeyedMutex } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import type {
  BuildCache,
  CacheRecord,
  CopyRequest,
  FileSelection,
  FileSource,
  ResolvedImage,
  RunRequest,
  StepOutput,
  Worker,
} from "./contract.ts";
import { type BuildGraph, makeGraph, makeGraphs, type Vertex } from "./graph.ts";
import { parseDockerfile, planBuild } from "./language/index.ts";
import { solve, solveAll } from "./solver.ts";

const host = { os: "linux", architecture: "amd64" };
const never = new AbortController().signal;

/** Layers are digests of what was asked, files digests of their names and what `content` says. */
class FakeWorker implements Worker {
  calls: string[] = [];
  content = new Map<string, string>();
  hold = new Map<string, Promise<void>>();
  running = 0;
  mostRunning = 0;

  async run(request: RunRequest, output: StepOutput): Promise<{ layer: string }> {
    const command = request.args.at(-1)!;
    this.calls.push(command);
    this.running++;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      await Promise.race([this.hold.get(command), aborted(output.signal)]);
      output.signal.throwIfAborted();
      if (command.startsWith("fail")) throw new Error(command);
      return { layer: digestOf(`run ${JSON.stringify([request.root, command])}`) };
    } finally {
      this.running--;
    }
  }
  async copy({ root, selections, destination }: CopyRequest): Promise<{ layer: string }> {
    const digests = await Promise.all(selections.map((selection) => this.digest(selection)));
    this.calls.push(`copy ${destination}`);
    return { layer: digestOf(`copy ${JSON.stringify([root, digests])}`) };
  }
  async makeFolder({ path }: { path: string }): Promise<{ layer: string | undefined }> {
    this.calls.push(`folder ${path}`);
    return { layer: path === "/there" ? undefined : digestOf(`folder ${path}`) };
  }
  async digest({ from, paths }: FileSelection): Promise<string> {
    const root = from.kind === "root" ? from.root : from.name;
    const contents = paths.map(({ path }) => this.content.get(path) ?? "");
    return digestOf(JSON.stringify([from.kind === "root" ? "" : root, contents]));
  }
  async download(): Promise<FileSource> {
    return { kind: "context", name: "downloaded" };
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

class FakeCache implements BuildCache {
  records = new Map<string, CacheRecord>();
  find(key: string): CacheRecord | undefined {
    return this.records.get(key);
  }
  put(key: string, record: CacheRecord): void {
    this.records.set(key, record);
  }
  #mutex = new KeyedMutex();
  exclusive<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#mutex.run(key, work, { signal });
  }
}

function image(name: string, onBuild: string[] = []): ResolvedImage {
  const layer = digestOf(name);
  const rootfs = { type: "layers" as const, diff_ids: [layer] };
  const document = { ...host, config: { OnBuild: onBuild }, rootfs };
  return { id: digestOf(`config ${name}`), document, root: { layers: [layer] } };
}

async function graphOf(text: string, o: { target?: string; onBuild?: string[] } = {}) {
  const plan = planBuild(parseDockerfile(text), {
    buildPlatform: host,
    ...(o.target && { target: o.target }),
  });
  const asked: string[] = [];
  const resolver = {
    image: async (reference: string) => {
      asked.push(reference);
      return image(reference, o.onBuild);
    },
  };
  return { graph: await makeGraph(plan, resolver, { signal: never }), asked };
}

interface Ran {
  ran: string[];
  cached: string[];
}

async function build(
  graph: BuildGraph,
  o: {
    worker: FakeWorker;
    cache: FakeCache;
    signal?: AbortSignal;
    noCache?: boolean;
    max?: number;
  },
): Promise<Ran> {
  const cached: string[] = [];
  const name = ({ label }: Vertex) => label;
  o.worker.calls = [];
  await solve(graph.target.top, {
    worker: o.worker,
    cache: o.cache,
    ...(o.noCache && { noCache: true }),
    stepsMax: o.max ?? 4,
    signal: o.signal ?? never,
    observer: {
      started: () => {},
      done: (vertex, outcome) => void (outcome.cached && cached.push(name(vertex))),
      failed: () => {},
      output: () => ({ write: () => {}, started: () => {}, ended: () => {} }),
    },
  });
  return { ran: o.worker.calls, cached };
}

const make = () => ({ worker: new FakeWorker(), cache: new FakeCache() });

test("only what the target needs is resolved and run", async () => {
  const text = "FROM a AS one\nRUN one\nFROM b AS two\nRUN two\nFROM one\nRUN three\n";
  const { graph, asked } = await graphOf(text);
  assert.deepEqual(asked, ["docker.io/library/a:latest"]);
  assert.deepEqual((await build(graph, make())).ran, ["one", "three"]);
});

test("a second build runs nothing, and makes the same file system", async () => {
  const { graph } = await graphOf("FROM a\nCOPY x /x\nRUN y\nWORKDIR /there\nWORKDIR /z\n");
  const parts = make();
  assert.equal((await build(graph, parts)).ran.length, 4);
  const again = await build(graph, parts);
  assert.deepEqual(again.ran, []);
  assert.equal(again.cached.length, 4);
});

test("--no-cache runs everything and remembers it", async () => {
  const { graph } = await graphOf("FROM a\nRUN y\n");
  const parts = make();
  await build(graph, parts);
  assert.deepEqual((await build(graph, { ...parts, noCache: true })).ran, ["y"]);
  assert.deepEqual((await build(graph, parts)).ran, []);
});

test("a changed file rebuilds what stands on it, and no more", async () => {
  const text = "FROM a\nRUN before\nCOPY x /x\nRUN after\nFROM a AS other\nCOPY y /y\nRUN other\n";
  const end = "FROM a\nCOPY --from=0 /x /\nCOPY --from=other /y /\n";
  const { graph } = await graphOf(text + end);
  const parts = make();
  await build(graph, parts);
  parts.worker.content.set("/x", "changed");
  assert.deepEqual((await build(graph, parts)).ran.sort(), [
    "after",
    "copy /",
    "copy /",
    "copy /x",
  ]);
});

test("a stage that changes without changing what is copied from it rebuilds nothing after", async () => {
  const parts = make();
  const text = (command: string) => `FROM a\nRUN ${command}\nFROM a\nCOPY --from=0 /x /\nRUN end\n`;
  await build((await graphOf(text("one"))).graph, parts);
  assert.deepEqual((await build((await graphOf(text("two"))).graph, parts)).ran, ["two"]);
});

test("what a name in the environment, a user or a folder changes is part of the key", async () => {
  const parts = make();
  const variants = ["", "ENV A=1\n", "USER 5\n", "WORKDIR /there\n", 'SHELL ["/bin/bash", "-c"]\n'];
  for (const extra of variants) {
    const { ran } = await build((await graphOf(`FROM a\n${extra}RUN x\n`)).graph, parts);
    assert.ok(ran.includes("x"), extra);
  }
  const { ran } = await build(
    (await graphOf("FROM a\nLABEL a=1\nEXPOSE 80\nRUN x\n")).graph,
    parts,
  );
  assert.deepEqual(ran, []);
});

test("the same steps in two stages run once", async () => {
  const parts = make();
  const text = "FROM a AS one\nRUN x\nFROM a AS two\nRUN x\nFROM one\nCOPY --from=two /x /\n";
  const { graph } = await graphOf(text);
  assert.deepEqual((await build(graph, parts)).ran, ["x", "copy /"]);
});

test("COPY --link does not depend on the base", async () => {
  const parts = make();
  await build((await graphOf("FROM a\nCOPY --link x /x\n")).graph, parts);
  assert.deepEqual(
    (await build((await graphOf("FROM b\nCOPY --link x /x\n")).graph, parts)).ran,
    [],
  );
  const { ran } = await build((await graphOf("FROM b\nCOPY x /x\n")).graph, parts);
  assert.deepEqual(ran, ["copy /x"]);
});

test("independent stages run side by side, at most as many as may", async () => {
  const stages = ["a", "b", "c", "d"].map((name) => `FROM base AS ${name}\nRUN ${name}\n`).join("");
  const copies = ["a", "b", "c", "d"].map((name) => `COPY --from=${name} /${name} /\n`).join("");
  for (const max of [1, 2, 4]) {
    const parts = make();
    const gate = Promise.withResolvers<void>();
    for (const name of ["a", "b", "c", "d"]) parts.worker.hold.set(name, gate.promise);
    const { graph } = await graphOf(`${stages}FROM base\n${copies}`);
    const building = build(graph, { ...parts, max });
    while (parts.worker.running < max) await new Promise(setImmediate);
    gate.resolve();
    await building;
    assert.equal(parts.worker.mostRunning, max);
  }
});

test("the first failure ends the other steps and is what is thrown", async () => {
  const text =
    "FROM a AS one\nRUN slow\nFROM a AS two\nRUN fail here\nFROM one\nCOPY --from=two / /\n";
  const { graph } = await graphOf(text);
  const parts = make();
  parts.worker.hold.set("slow", new Promise(() => {}));
  await assert.rejects(build(graph, parts), /^Error: fail here$/);
  assert.equal(parts.worker.running, 0);
  assert.equal(parts.cache.records.size, 0);
});

test("an aborted build ends its steps before it returns", async () => {
  const { graph } = await graphOf("FROM a\nRUN slow\n");
  const parts = make();
  parts.worker.hold.set("slow", new Promise(() => {}));
  const stop = new AbortController();
  const building = build(graph, { ...parts, signal: stop.signal });
  while (parts.worker.running === 0) await new Promise(setImmediate);
  stop.abort(new Error("gone"));
  await assert.rejects(building, /gone/);
  assert.equal(parts.worker.running, 0);
});

test("a build that waits for another one's step can be aborted at once", async () => {
  const { graph } = await graphOf("FROM a\nRUN slow\n");
  const parts = make();
  const gate = Promise.withResolvers<void>();
  parts.worker.hold.set("slow", gate.promise);
  const first = build(graph, parts);
  while (parts.worker.running === 0) await new Promise(setImmediate);
  const stop = new AbortController();
  const second = build((await graphOf("FROM a\nRUN slow\n")).graph, {
    ...parts,
    signal: stop.signal,
  });
  await new Promise(setImmediate);
  stop.abort(new Error("gone"));
  await assert.rejects(second, /gone/);
  assert.equal(parts.worker.running, 1);
  gate.resolve();
  await first;
  assert.deepEqual((await build(graph, parts)).ran, []);
});

test("triggers of the base image run first, and the stages that they need are built", async () => {
  const text = "FROM a AS tools\nRUN tools\nFROM b\nRUN own\n";
  const plan = planBuild(parseDockerfile(text), { buildPlatform: host });
  const resolver = {
    image: async (reference: string) =>
      reference.includes("/b:") ? image("b", ["RUN first", "COPY --from=tools /t /"]) : image("a"),
  };
  const graph = await makeGraph(plan, resolver, { signal: never });
  assert.equal(graph.target.steps.filter(({ step }) => step.isTrigger).length, 2);
  const { ran } = await build(graph, make());
  assert.deepEqual([...ran].sort(), ["copy /", "first", "own", "tools"]);
  assert.equal(ran.at(-1), "own");
});

test("a stage's name that was mistyped is hinted at", async () => {
  const text = "FROM a AS build\nFROM scratch\nCOPY --from=biuld /x /x\n";
  const plan = planBuild(parseDockerfile(text), { buildPlatform: host });
  const resolver = {
    image: async () => Promise.reject(new GantryError("not-found", "no such image")),
  };
  const making = makeGraph(plan, resolver, { signal: never });
  await assert.rejects(making, /no such image.*did you mean build/);
});

const quiet = {
  started() {},
  done() {},
  failed() {},
  output: () => ({ write() {}, started() {}, ended() {} }),
};

test("what several platforms have in common runs once", async () => {
  const text =
    "FROM --platform=$BUILDPLATFORM base AS make\nRUN make\n" +
    "FROM scratch\nARG TARGETARCH\nCOPY --from=make /out /$TARGETARCH\n";
  const plans = ["amd64", "arm64"].map((architecture) =>
    planBuild(parseDockerfile(text), {
      buildPlatform: host,
      targetPlatform: { os: "linux", architecture },
    }),
  );
  const resolver = { image: async (reference: string) => image(reference) };
  const graphs = await makeGraphs(plans, resolver, { signal: never });
  const worker = new FakeWorker();
  const tops = graphs.map(({ target }) => target.top);
  const options = { worker, cache: new FakeCache(), observer: quiet, stepsMax: 2, signal: never };
  const roots = await solveAll(tops, options);
  assert.deepEqual(worker.calls.sort(), ["copy /amd64", "copy /arm64", "make"]);
  assert.equal(roots.length, 2);
});

test("an operation has one identity in every build, and another when it changes", async () => {
  const identities = async (text: string) => {
    const { graph } = await graphOf(text);
    return graph.target.steps.flatMap(({ vertex }) => vertex?.identity ?? []);
  };
  const text = "FROM base\nRUN a\nRUN b\n";
  const first = await identities(text);
  assert.deepEqual(await identities(text), first);
  const changed = await identities("FROM base\nRUN a\nRUN c\n");
  assert.equal(changed[0], first[0]);
  assert.notEqual(changed[1], first[1]);
});

test("a context is asked for when a step reads it, once its other inputs begin", async () => {
  const asked: string[] = [];
  const worker = Object.assign(new FakeWorker(), {
    context: async (name: string): Promise<FileSource> => {
      asked.push(name);
      return { kind: "context", name: `opened ${name}` };
    },
  });
  const options = { worker, cache: new FakeCache(), observer: quiet, stepsMax: 2, signal: never };
  const { graph } = await graphOf("FROM base\nRUN --mount=type=cache,target=/c make\n");
  await solve(graph.target.top, options);
  assert.deepEqual(asked, []);
  const copies = await graphOf("FROM base\nCOPY a /a\n");
  await solve(copies.graph.target.top, options);
  assert.deepEqual(asked, [""]);
});

test("an observer hears of the key before the step runs, and whether the cache is asked", async () => {
  const { graph } = await graphOf("FROM base\nCOPY a /a\nRUN make\n");
  const worker = new FakeWorker();
  const looked: string[] = [];
  const observer = {
    ...quiet,
    looked: async (
      vertex: Vertex,
      o: { found: boolean; fresh: boolean; reads: readonly object[] },
    ) => {
      looked.push(`${vertex.operation.kind} ${o.found} ${o.fresh} ${o.reads.length}`);
      assert.equal(worker.calls.length, looked.length - 1);
    },
  };
  const noCache = ({ operation }: Vertex) => operation.kind === "run";
  const options = { worker, cache: new FakeCache(), observer, stepsMax: 2, signal: never, noCache };
  await solve(graph.target.top, options);
  assert.deepEqual(looked, ["copy false false 1", "run false true 0"]);
});
