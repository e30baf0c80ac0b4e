// The program that embeds the engine is killed in the middle of things; the next one finds every
// container as it really is.
//
// test-deadline: 480 s (an engine is opened a dozen times, on a busy machine for seconds each)

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { EngineFixture, IMAGE } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";

const childProgram = fileURLToPath(new URL("../support/engine-child.ts", import.meta.url));

const ANSWER_DEADLINE_MS = 60_000;
const running = new Set<ChildProcess>();
/** One that a failed test leaves would keep this process for ever. */
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  running.clear();
});

/** An engine in a process of its own. */
class Child {
  #process: ChildProcess;
  #lines: AsyncIterator<string>;
  #reader: Interface;

  private constructor(child: ChildProcess) {
    this.#process = child;
    running.add(child);
    this.#reader = createInterface({ input: child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  static async open(fixture: EngineFixture): Promise<Child> {
    const { cgroupParent = "" } = fixture.options;
    const args = [...process.execArgv.filter((arg) => !arg.startsWith("--test")), childProgram];
    const child = new Child(
      spawn(process.execPath, [...args, fixture.root, cgroupParent], {
        stdio: ["pipe", "pipe", "inherit"],
      }),
    );
    await child.#answer();
    return child;
  }

  /** Asks for a verb of containers; resolves with its answer. */
  async call<T = unknown>(verb: string, ...args: unknown[]): Promise<T> {
    this.ask(verb, ...args);
    return (await this.#answer()) as T;
  }

  ask(verb: string, ...args: unknown[]): void {
    this.#process.stdin!.write(`${JSON.stringify([verb, ...args])}\n`);
  }

  async #answer(): Promise<unknown> {
    const timer = new AbortController();
    const late = delay(ANSWER_DEADLINE_MS, undefined, { signal: timer.signal });
    try {
      const answer = await Promise.race([this.#lines.next(), late]);
      assert(answer, "the child does not answer");
      assert(!answer.done, "the child has ended");
      return JSON.parse(answer.value);
    } finally {
      late.catch(() => {});
      timer.abort();
    }
  }

  async kill(): Promise<void> {
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
    running.delete(this.#process);
    this.#reader.close();
  }
}

const request = (name: string, command: string[], hostConfig: object = {}) => ({
  name,
  config: { Image: IMAGE, Cmd: command, OpenStdin: true },
  hostConfig: { NetworkMode: "none", ...hostConfig },
});

test("after a kill running containers run on, exits are known and policies applied", async () => {
  await using fixture = await EngineFixture.make();
  await fixture.close();
  const child = await Child.open(fixture);
  const start = async (...args: Parameters<typeof request>): Promise<string> => {
    const { id } = await child.call<{ id: string }>("create", request(...args));
    assert.equal(await child.call("start", id), null);
    return id;
  };
  const always = { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } };
  const runs = await start("runs", ["cat"]);
  const ends = await start("ends", ["sleep", "1000"]);
  const again = await start("again", ["sleep", "1000"], always);
  const gone = await start("gone", ["sleep", "1000"], { AutoRemove: true });
  const { id: idle } = await child.call<{ id: string }>("create", request("idle", ["true"]));
  const pids = new Map<string, number>();
  for (const id of [runs, ends, again, gone]) {
    const { state } = await child.call<{ state: { Pid: number } }>("inspect", id);
    pids.set(id, state.Pid);
  }
  await child.kill();
  for (const id of [ends, again, gone]) await killAndAwait(pids.get(id)!);

  const { containers } = await fixture.open();
  const stateOf = async (id: string) => (await containers.inspect(id)).state;
  assert.deepEqual(
    [(await stateOf(runs)).Status, (await stateOf(runs)).Pid],
    ["running", pids.get(runs)],
  );
  assert.deepEqual([(await stateOf(ends)).Status, (await stateOf(ends)).ExitCode], ["exited", 137]);
  assert.equal((await stateOf(idle)).Status, "created");
  await assert.rejects(containers.inspect(gone), { kind: "not-found" });

  const attached = await containers.attach(runs, {
    stdin: true,
    stdout: true,
    stderr: true,
    stream: true,
    logs: false,
  });
  attached.stream.end("still here\n");
  const logs = await containers.logs(runs, {
    follow: true,
    stdout: true,
    stderr: true,
    timestamps: false,
    details: false,
    tail: "all",
  });
  const [first] = (await once(logs.stream, "data")) as [Buffer];
  assert.equal(first.subarray(8).toString(), "still here\n");
  logs.stream.destroy();
});

/** Ends a container behind its engine's back; its monitor takes note. */
async function killAndAwait(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  const { access } = await import("node:fs/promises");
  // The process is a child of its monitor, so there is nothing to wait for but its disappearance.
  const there = () =>
    access(`/proc/${pid}/ns/pid`).then(
      () => true,
      () => false,
    );
  while (await there()) await new Promise((resolve) => setImmediate(resolve));
}

test("what was half done when the engine was killed is gone after the next boot", async () => {
  await using fixture = await EngineFixture.make();
  const clean = await stateOf(fixture);
  await fixture.close();
  for (let round = 0; round < 8; round++) {
    const child = await Child.open(fixture);
    // Many at once, and killed without waiting for an answer: some are in the middle.
    const { id } = await child.call<{ id: string }>("create", request(`r${round}`, ["true"]));
    child.ask("start", id);
    for (let n = 0; n < 4; n++) child.ask("create", request(`r${round}-${n}`, ["true"]));
    await new Promise((resolve) => setImmediate(resolve));
    await child.kill();
  }
  const engine = await fixture.open();
  for (const c of await engine.containers.list({ all: true })) {
    assert.match(c.state.Status, /^(created|exited)$/);
    await engine.containers.remove(c.id);
  }
  assert.deepEqual(await stateOf(fixture), clean);
});

const stateOf = (fixture: EngineFixture) =>
  kernelState({ cgroupParent: fixture.options.cgroupParent!, marker: fixture.root });

test("logs that were written while no engine ran are whole", async () => {
  await using fixture = await EngineFixture.make();
  await fixture.close();
  const child = await Child.open(fixture);
  const { id } = await child.call<{ id: string }>("create", request("spam", ["lines", "20000"]));
  child.ask("start", id);
  await child.kill();
  const { containers } = await fixture.open();
  // Killed before the container existed: then there is nothing to see.
  if ((await containers.inspect(id)).state.Status === "created") await containers.start(id);
  const { done } = await containers.wait(id, "not-running");
  await done;
  const logs = await containers.logs(id, {
    follow: false,
    stdout: true,
    stderr: true,
    timestamps: false,
    details: false,
    tail: 1,
  });
  assert.equal((await text(logs.stream)).slice(8), "line 20000\n");
});
