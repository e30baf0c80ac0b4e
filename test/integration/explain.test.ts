// What `explain` says of a run, fact by fact against what a container that was really started has:
// read here from /proc and the cgroups, with nothing of explain's own reading.

import assert from "node:assert/strict";
import { mkdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ContainerExplanation, CreateRequest } from "../../src/index.ts";
import { FakeRegistry } from "../fakes/registry.ts";
import { EngineFixture, IMAGE, startContainer } from "../support/engine-fixture.ts";
import { publishImage, testDistribution, testLayer } from "../support/registry-images.ts";

let fixture: EngineFixture;
let folder: string;
before(async () => {
  fixture = await EngineFixture.make(testDistribution());
  folder = join(fixture.root, "bound");
  await mkdir(folder);
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

const request = (): CreateRequest => ({
  name: "explained",
  config: { Image: IMAGE, Cmd: ["sleep"], User: "1000:1001", Hostname: "box" },
  hostConfig: {
    NetworkMode: "none",
    Memory: 64 * 1024 * 1024,
    PidsLimit: 40,
    CapAdd: ["NET_ADMIN"],
    CapDrop: ["MKNOD"],
    SecurityOpt: ["no-new-privileges"],
    Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }],
    Binds: [`${folder}:/data:ro`],
    Tmpfs: { "/scratch": "size=1m" },
    Sysctls: { "kernel.shmmax": "123456" },
    OomScoreAdj: 200,
    ReadonlyRootfs: true,
  },
});

interface Proc {
  pid: number;
  status: Map<string, string>;
  mounts: { path: string; options: string[]; fstype: string }[];
  limits: string;
}

async function readProc(pid: number): Promise<Proc> {
  const text = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8");
  const status = new Map<string, string>();
  for (const line of (await text("status")).split("\n")) {
    const [name = "", ...rest] = line.split(":");
    status.set(name, rest.join(":").trim());
  }
  const mounts = (await text("mountinfo"))
    .trim()
    .split("\n")
    .map((line) => {
      const fields = line.split(" ");
      const fstype = fields[fields.indexOf("-") + 1]!;
      return { path: fields[4]!, options: fields[5]!.split(","), fstype };
    });
  return { pid, status, mounts, limits: await text("limits") };
}

const CAPABILITY_BITS = { CAP_CHOWN: 0, CAP_KILL: 5, CAP_NET_ADMIN: 12, CAP_MKNOD: 27 } as const;
const NAMESPACES: Readonly<Record<string, string>> = { network: "net", mount: "mnt" };

async function assertPlanIsWhatRuns({ facts }: ContainerExplanation, proc: Proc): Promise<void> {
  const { plan } = facts;
  const { pid, status, mounts } = proc;
  for (const { type, is } of plan.namespaces) {
    const file = NAMESPACES[type] ?? type;
    const [own, host] = await Promise.all([
      readlink(`/proc/${pid}/ns/${file}`),
      readlink(`/proc/self/ns/${file}`),
    ]);
    assert.equal(own === host, is === "host", `${type} is ${is}`);
  }
  const found = (path: string) => mounts.findLast((mount) => mount.path === path);
  for (const { path, type, options, data } of plan.mounts) {
    const mount = found(path);
    assert.ok(mount, `${path} is mounted`);
    if (type !== "bind") assert.equal(mount.fstype, type, path);
    for (const option of options) assert.ok(mount.options.includes(option), `${path} ${option}`);
    const readonly = options.includes("ro") || data.includes("ro");
    assert.equal(mount.options.includes("ro"), readonly, `${path} ro`);
  }
  assert.equal(found("/")?.options.includes("ro"), plan.root.readonly);
  assert.equal(found("/")?.fstype, plan.root.type);
  for (const path of plan.maskedPaths) {
    const there = await stat(`/proc/${pid}/root${path}`).catch(() => undefined);
    if (there) assert.ok(found(path), `${path} is covered`);
  }
  const bounding = BigInt(`0x${status.get("CapBnd")}`);
  for (const [name, bit] of Object.entries(CAPABILITY_BITS)) {
    const held = ((bounding >> BigInt(bit)) & 1n) === 1n;
    assert.equal(held, plan.capabilities.bounding.includes(name), name);
  }
  const bits = [...bounding.toString(2)].filter((bit) => bit === "1").length;
  assert.equal(bits, plan.capabilities.bounding.length);
  assert.equal(status.get("Seccomp"), plan.seccomp ? "2" : "0");
  assert.equal(status.get("NoNewPrivs"), plan.process.noNewPrivileges ? "1" : "0");
  assert.equal(status.get("Uid")?.split(/\s+/)[0], String(plan.process.uid));
  assert.equal(status.get("Gid")?.split(/\s+/)[0], String(plan.process.gid));
  for (const { soft, hard } of plan.process.rlimits) {
    assert.match(proc.limits, new RegExp(`Max open files\\s+${soft}\\s+${hard}\\s`));
  }
  const score = await readFile(`/proc/${pid}/oom_score_adj`, "utf8");
  assert.equal(Number(score), plan.process.oomScoreAdj);
}

async function assertLimitsAreWritten(facts: ContainerExplanation["facts"]): Promise<void> {
  assert.ok(facts.plan.limits.length > 0);
  for (const { path, file, value } of facts.plan.limits) {
    const now = (await readFile(`${path}/${file}`, "utf8")).trim();
    assert.equal(now, value, file);
  }
}

test("what explain says of a run is what the started container has", async () => {
  const { engine } = fixture;
  const before = await engine.containers.list({ all: true });
  const planned = await engine.explain.plan(request());
  assert.deepEqual(await engine.containers.list({ all: true }), before, "nothing is made");
  assert.equal(planned.about.state, "planned");

  const { id } = await engine.containers.create(request());
  await engine.containers.start(id);
  const { state } = await engine.containers.inspect(id);
  const proc = await readProc(state.Pid);
  await assertPlanIsWhatRuns(planned, proc);

  const live = await engine.explain.container(id);
  await assertPlanIsWhatRuns(live, proc);
  await assertLimitsAreWritten(live.facts);
  const written = (facts: ContainerExplanation["facts"]) =>
    facts.plan.limits.map(({ file, value }) => `${file}=${value}`);
  assert.deepEqual(written(planned.facts), written(live.facts));
  const differing = live.sections.flatMap(({ lines }) => lines.filter((l) => l.mark === "differs"));
  assert.deepEqual(differing, []);
  assert.equal(live.facts.live?.hostname, "box");
  assert.equal(live.facts.live?.sysctls["kernel.shmmax"], "123456");
  await engine.containers.remove(id, { force: true });
});

test("what somebody has changed in a running container is marked", async () => {
  const { engine } = fixture;
  const id = await startContainer(engine, ["sleep"], { hostConfig: { PidsLimit: 40 } });
  const before = await engine.explain.container(id);
  const limit = before.facts.plan.limits.find(({ file }) => file === "pids.max");
  await writeFile(`${limit!.path}/pids.max`, "77");
  const { sections } = await engine.explain.container(id);
  const line = sections.flatMap(({ lines }) => lines).find(({ what }) => what === "pids.max");
  assert.deepEqual(line, { what: "pids.max", says: "40", mark: "differs", live: "77" });
  await engine.containers.remove(id, { force: true });
});

test("an explanation takes no name, makes no volume and writes nothing", async () => {
  const { engine } = fixture;
  const wanted = {
    ...request(),
    name: "never-made",
    hostConfig: { NetworkMode: "none", Binds: ["a-volume:/v", `${folder}/missing:/m`] },
  };
  const { facts } = await engine.explain.plan(wanted);
  assert.ok(facts.plan.mounts.some(({ path }) => path === "/v"));
  assert.deepEqual((await engine.volumes.list()).volumes, []);
  await assert.rejects(stat(`${folder}/missing`), { code: "ENOENT" });
  await assert.rejects(engine.containers.inspect("never-made"), { kind: "not-found" });
});

test("a request that a create refuses is refused in the same words", async () => {
  const { engine } = fixture;
  const bad: CreateRequest = {
    config: { Image: IMAGE, Cmd: ["true"] },
    hostConfig: { NetworkMode: "none", CapAdd: ["NOSUCH"] },
  };
  const words = { message: /unknown capability/ };
  await assert.rejects(engine.explain.plan(bad), words);
  const missing = { config: { Image: "localhost:1/nosuch" }, hostConfig: {} };
  const message = "No such image: localhost:1/nosuch:latest";
  await assert.rejects(engine.explain.plan(missing), { message });
});

test("an image that is not here is told with the layers that a pull would fetch", async () => {
  const { engine } = fixture;
  await using registry = await FakeRegistry.listen();
  const layers = [testLayer(), testLayer()];
  const { id } = publishImage(registry, "a/b", "1", { layers });
  const name = `${registry.host}/a/b:1`;
  const { facts, sections } = await engine.explain.plan({
    config: { Image: name, Cmd: ["true"] },
    hostConfig: { NetworkMode: "none" },
  });
  assert.equal(facts.image.id, id);
  assert.deepEqual(
    facts.image.layers.map(({ pullBytes }) => pullBytes),
    layers.map(({ blob }) => blob.length),
  );
  const [image] = sections;
  assert.match(image!.lines[1]!.says, /^2, 2 of them to be pulled/);
  await assert.rejects(engine.images.inspect(name), { kind: "not-found" });
});

/** Process 1 does not hear what it does not catch. */
async function catchesTerm(pid: number): Promise<void> {
  for (;;) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const caught = BigInt(`0x${/^SigCgt:\s+([0-9a-f]+)$/m.exec(status)![1]}`);
    if ((caught >> 14n) & 1n) return;
    await delay(5);
  }
}

test("why a container ended is known: stopped, killed, out of time, killed by others", async () => {
  const { engine } = fixture;
  const { containers } = engine;
  const reasonOf = async (id: string) => {
    const { facts } = await engine.explain.container(id);
    await containers.remove(id, { force: true });
    return facts.end?.reason;
  };
  const stopped = await startContainer(engine, ["sleep"]);
  await catchesTerm((await containers.inspect(stopped)).state.Pid);
  await containers.stop(stopped, { timeoutSeconds: -1 });
  assert.equal(await reasonOf(stopped), "stopped");

  const killed = await startContainer(engine, ["sleep"]);
  await containers.kill(killed, "KILL");
  assert.equal(await reasonOf(killed), "killed-by-user");

  const stubborn = await startContainer(engine, ["stubborn"]);
  await containers.stop(stubborn, { timeoutSeconds: 0 });
  assert.equal(await reasonOf(stubborn), "killed-after-grace");

  const others = await startContainer(engine, ["sleep"]);
  const { done } = await containers.wait(others, "next-exit");
  const { state } = await containers.inspect(others);
  assert.ok(state.Pid > 1);
  process.kill(state.Pid, "SIGKILL");
  const ended = await done;
  assert.deepEqual(ended, { exitCode: 137, reason: "killed from outside" });
  assert.equal((await containers.inspect(others)).state.Reason, "killed from outside");
  assert.equal(await reasonOf(others), "killed-by-others");
});

test("a container that ran out of memory says with which limit", async (t) => {
  const { engine } = fixture;
  const { containers } = engine;
  const limit = 8 * 1024 * 1024;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["eat", String(64)] },
    hostConfig: { NetworkMode: "none", Memory: limit, MemorySwap: limit },
  });
  const { done } = await containers.wait(id, "next-exit");
  await containers.start(id);
  const { exitCode } = await done;
  if (exitCode !== 137) return t.skip("this host does not enforce memory limits");
  const { facts } = await engine.explain.container(id);
  assert.equal(facts.end?.reason, "out-of-memory");
  assert.equal(facts.end?.memory?.limitBytes, limit);
  assert.match(facts.end?.says ?? "", /limit of 8MiB/);
  assert.match(facts.end?.remedy ?? "", /gantry update -m 16MiB/);
  await containers.remove(id, { force: true });
});
