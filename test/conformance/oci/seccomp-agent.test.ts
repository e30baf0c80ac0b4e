// SCMP_ACT_NOTIFY: the agent gets the notify descriptor and the container process state before the
// process makes any call, of containers, execs and the engine's containers alike.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { nativeArchitecture } from "../../../src/runtime/seccomp/architectures.ts";
import type { OciSeccomp, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture, resultOf } from "../../support/oci-fixture.ts";
import { created, printed, refusal, started, statusLine } from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";
import { SeccompAgent } from "../../support/seccomp-agent.ts";

const { syscalls } = nativeArchitecture[process.arch === "x64" ? "x86_64" : "aarch64"];
const NR = syscalls.get("getppid")!;
const EXECVE = syscalls.get("execve")!;

let oci: OciFixture;
let count = 0;
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const agentOf = (...answers: string[]) =>
  SeccompAgent.start(oci.path(`agent-${++count}.sock`), ...answers);

const notify = (listenerPath: string, more: Partial<OciSeccomp> = {}) => ({
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["getppid"], action: "SCMP_ACT_NOTIFY" }],
  listenerPath,
  ...more,
});
const withFilter =
  (seccomp: OciSeccomp, noNewPrivileges = false) =>
  (spec: OciSpec) => {
    spec.process!.noNewPrivileges = noNewPrivileges;
    spec.linux!.seccomp = seccomp;
  };

test(`the agent is told of the container and answers its calls ${proves("seccomp-action", "SCMP_ACT_NOTIFY")} ${proves("config", "linux.seccomp.listenerPath", "linux.seccomp.listenerMetadata")} ${proves("listener", "container process state (seccomp notify)")}`, async () => {
  await using agent = await agentOf(`${NR}=+4711`);
  const seccomp = notify(agent.path, { listenerMetadata: 'a "pid":4294967290 b' });
  await using container = await created(
    oci,
    (spec) => {
      withFilter(seccomp)(spec);
      spec.annotations = { some: '"pid":4294967290' };
    },
    ["seq", `call ${NR}`, "sleep"],
  );
  assert.deepEqual(agent.states, [], "nothing is filtered before the start");
  await oci.detached("start", container.id);
  await agent.line(/^state /);
  const [state] = agent.states;
  const { ociVersion, bundle } = await oci
    .state(container.id)
    .then((s) => s as never as Record<string, string>);
  const { id, pid } = container;
  const about = { ociVersion, id, status: "created", pid, bundle };
  assert.deepEqual(state, {
    ...{ ociVersion, fds: ["seccompFd"], pid, metadata: 'a "pid":4294967290 b' },
    state: { ...about, annotations: { some: '"pid":4294967290' } },
  });
  await agent.line(new RegExp(`^asked ${NR} by \\d+$`));
  assert.equal(await statusLine(pid, "Seccomp"), "2");
});

test("the answer is what the program gets, with and without no_new_privs", async () => {
  await using agent = await agentOf(`${NR}=+4711`);
  for (const strict of [false, true]) {
    const change = withFilter(notify(agent.path), strict);
    assert.equal(await printed(oci, ["call", `${NR}`, `${NR}`], change), "ok 4711\nok 4711");
  }
  assert.equal(agent.states.length, 2, "each has a connection of its own");
  await using denying = await agentOf(`${NR}=13`);
  assert.equal(await printed(oci, ["call", `${NR}`], withFilter(notify(denying.path))), "errno 13");
});

test("an exec has a listener of its own, and says so", async () => {
  await using agent = await agentOf(`${NR}=+5`);
  await using container = await started(oci, withFilter(notify(agent.path)));
  assert.equal(await oci.ok("exec", container.id, "call", `${NR}`), "ok 5\n");
  const [first, second] = agent.states;
  assert.equal(first!.pid, container.pid);
  assert.deepEqual(second!.fds, ["seccompFd"]);
  assert.notEqual(second!.pid, container.pid);
  const { id, pid } = container;
  assert.partialDeepStrictEqual(second!.state, { id, pid, status: "running" });
});

test("the agent answers even the runtime's own execve, and every other call", async () => {
  await using agent = await agentOf(`${NR}=+6`);
  const everything = notify(agent.path, { defaultAction: "SCMP_ACT_NOTIFY", syscalls: [] });
  for (const strict of [false, true]) {
    const said = await printed(oci, ["call", `${NR}`], withFilter(everything, strict));
    assert.equal(said, "ok 6");
  }
  const [first] = agent.states;
  assert.ok(agent.lines.includes(`asked ${EXECVE} by ${first!.pid}`));
  await using refusing = await agentOf(`${EXECVE}=13`);
  const calls = [{ names: ["execve"], action: "SCMP_ACT_NOTIFY" }];
  const change = withFilter(notify(refusing.path, { syscalls: calls }));
  assert.match(await refusal(oci, change), /permission denied/);
});

test(`a signal waits for the answer where that is asked for ${proves("seccomp-flag", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")}`, async () => {
  const asked = async (flags: string[]) => {
    const agent = await agentOf(`${NR}=?8`);
    const change = withFilter(notify(agent.path, { flags }));
    const { id, bundle } = await oci.bundle(["signalcall", `${NR}`], change);
    const result = resultOf(oci.spawn(["run", "-b", bundle, id]));
    const pid = Number((await agent.line(/^asked \d+ by \d+$/)).split(" ").at(-1));
    process.kill(pid, "SIGUSR1");
    return { agent, pid, result };
  };
  const waiting = await asked(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
  assert.match(await statusLine(waiting.pid, "ShdPnd"), /2..$/, "the signal is pending");
  waiting.agent.go();
  assert.equal((await waiting.result).stdout, "ok 8\n");
  await waiting.agent[Symbol.asyncDispose]();
  // Without it the signal ends the wait, and nobody has to answer.
  const interrupted = await asked([]);
  assert.equal((await interrupted.result).stdout, "errno 4\n");
  await interrupted.agent[Symbol.asyncDispose]();
});

test("an agent that does not take what it is sent ends the container", async () => {
  const agent = await agentOf();
  const { path } = agent;
  await agent[Symbol.asyncDispose]();
  const message = await refusal(oci, withFilter(notify(path)));
  assert.match(message, /cannot connect to the seccomp agent at .*: connection refused/i);
});

test("the engine's containers and their execs reach the agent too", async () => {
  await using agent = await agentOf(`${NR}=+9`);
  const { runtime } = oci;
  const change = withFilter(notify(agent.path));
  const container = await runtime.start(["sleep"], { change });
  container.monitor.release();
  await agent.line(/^state /);
  assert.equal(agent.states[0]!.pid, container.pid);
  const { stdout } = await runtime.exec(container, ["call", `${NR}`]);
  assert.equal(stdout, "ok 9\n");
  assert.equal(agent.states.length, 2);
  await assert.rejects(
    runtime.start(["sleep"], { change: withFilter(notify(`${agent.path}x`)) }),
    /cannot connect to the seccomp agent/,
  );
});
