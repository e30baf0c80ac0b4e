// What happens to a container after it was made: start, stop, kill, restart, pause, rename, remove;
// and how ps, inspect, logs, top, wait, exec and attach see it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE, type TestDaemon } from "../harness.ts";

export function lifecycleScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const started = (...args: string[]) => ok("run", "-d", "--network", "none", ...args);
  /** A signal before its program has its handlers is another matter. */
  const says = (id: string, text: string) => daemon().session("logs", "-f", id).until(text);
  const inspect = (id: string, format: string) => ok("inspect", "-f", format, id);

  test("create, start, stop, start, restart and rm go through the states of docker", async () => {
    const id = await ok("create", "--network", "none", "--name", "states", IMAGE, "signals");
    const status = () => inspect(id, "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}");
    assert.equal(await status(), "created false 0");
    assert.equal(await ok("start", "states"), "states");
    assert.equal(await status(), "running true 0");
    await says(id, "ready");
    assert.equal(await ok("stop", "states"), "states");
    assert.equal(await status(), "exited false 0");
    await ok("restart", "states");
    assert.equal(await status(), "running true 0");
    const refused = await daemon().client(["rm", "states"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /container is running: stop the container before removing/);
    await ok("rm", "-f", "states");
    assert.equal(await ok("ps", "-aq"), "");
  });

  test("stop waits, then kills what does not listen", async () => {
    const id = await started(IMAGE, "stubborn");
    await says(id, "stubborn");
    await ok("stop", "-t", "1", id);
    assert.equal(await inspect(id, "{{.State.ExitCode}}"), "137");
    assert.match(await ok("logs", id), /^stubborn\nstubborn$/);
    await ok("rm", id);
  });

  test("kill sends the signal that is named, by name or number", async () => {
    const id = await started(IMAGE, "signals");
    const logs = daemon().session("logs", "-f", id);
    await logs.until("ready");
    await ok("kill", "-s", "USR1", id);
    await logs.until("signal 10");
    await ok("kill", "--signal", "SIGHUP", id);
    await logs.until("signal 1\n");
    await ok("kill", "-s", "15", id);
    assert.equal(await logs.exitCode(), 0);
    assert.equal(await ok("wait", id), "0");
    const again = await daemon().client(["kill", id]);
    assert.match(again.stderr, /is not running/);
    await ok("rm", id);
  });

  test("--stop-signal is what stop sends", async () => {
    const id = await started("--stop-signal", "USR2", "--stop-timeout", "2", IMAGE, "signals");
    await says(id, "ready");
    await ok("stop", id);
    assert.match(await ok("logs", id), /signal 12/);
    await ok("rm", id);
  });

  test("pause freezes and unpause goes on", async () => {
    const id = await started(IMAGE, "sleep");
    await ok("pause", id);
    assert.equal(await inspect(id, "{{.State.Status}} {{.State.Paused}}"), "paused true");
    assert.match(await ok("ps", "--format", "{{.Status}}", "--filter", `id=${id}`), /\(Paused\)/);
    const { stderr } = await daemon().client(["exec", id, "true"]);
    assert.match(stderr, /is paused, unpause the container before exec/);
    await ok("unpause", id);
    assert.equal(await inspect(id, "{{.State.Status}}"), "running");
    await ok("rm", "-f", id);
  });

  test("rename changes the name and frees the old one", async () => {
    const id = await ok("create", "--name", "before", IMAGE);
    await ok("rename", "before", "after");
    assert.equal(await inspect("after", "{{.Id}} {{.Name}}"), `${id} /after`);
    assert.equal((await daemon().client(["inspect", "before"])).code, 1);
    await ok("rm", "after");
  });

  test("ps filters, formats, counts and truncates as docker does", async () => {
    const one = await started("--name", "ps-one", IMAGE, "sleep");
    const two = await ok("create", "--name", "ps-two", "--network", "none", IMAGE, "echo", "x");
    assert.equal(await ok("ps", "-q"), one.slice(0, 12));
    assert.equal(await ok("ps", "-q", "--no-trunc"), one);
    assert.equal(await ok("ps", "-lq", "--no-trunc"), two);
    assert.equal(await ok("ps", "-a", "--format", "{{.Names}}"), "ps-two\nps-one");
    assert.equal(await ok("ps", "-a", "-n", "1", "--format", "{{.Names}}"), "ps-two");
    const filtered = (filter: string) => ok("ps", "-a", "--format", "{{.Names}}", "-f", filter);
    assert.equal(await filtered("status=created"), "ps-two");
    assert.equal(await filtered("name=one"), "ps-one");
    assert.equal(await filtered(`ancestor=${IMAGE}`), "ps-two\nps-one");
    const json = JSON.parse(await ok("ps", "--format", "json"));
    assert.equal(json.Names, "ps-one");
    assert.match(json.Status, /^Up /);
    const table = await ok("ps", "-a");
    assert.match(table, /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n/);
    assert.match(table, /"sleep"/);
    await ok("rm", "-f", "ps-one", "ps-two");
  });

  test("logs tails, follows, stamps and keeps the streams apart", async () => {
    const id = await started(IMAGE, "lines", "6", "-20");
    await ok("wait", id);
    const all = await daemon().client(["logs", id]);
    assert.equal(all.stdout, "line 1\nline 3\nline 5\n");
    assert.equal(all.stderr, "line 2\nline 4\nline 6\n");
    const tail = await daemon().client(["logs", "--tail", "2", id]);
    assert.deepEqual([tail.stdout, tail.stderr], ["line 5\n", "line 6\n"]);
    assert.match(await ok("logs", "-t", "-n", "1", id), /^$|^\d{4}-\d\d-\d\dT[\d:.]+Z line/);
    assert.equal(await ok("logs", "--until", "1h", id), "");
    assert.equal((await ok("logs", "--since", "1h", id)).split("\n").length, 3);
    await ok("rm", id);
    const slow = await started(IMAGE, "lines", "20", "20");
    const followed = await ok("logs", "-f", slow);
    assert.equal(followed.split("\n").length, 20);
    await ok("rm", slow);
  });

  test("exec runs beside the container's command with its own streams and code", async () => {
    const id = await started("-e", "OUTER=1", IMAGE, "sleep");
    const result = await daemon().client(["exec", id, "seq", "echo out", "err oops", "exit 5"]);
    assert.deepEqual(result, { code: 5, stdout: "out\n", stderr: "oops\n" });
    const flags = ["-e", "INNER=2", "-w", "/tmp", "-u", "app"];
    const text = await ok("exec", ...flags, id, "seq", "env", "pwd", "id");
    assert.match(text, /OUTER=1/);
    assert.match(text, /INNER=2/);
    assert.match(text, /^\/tmp$/m);
    assert.match(text, /uid=1000/);
    const piped = await daemon().client(["exec", "-i", id, "cat"], { input: "through\n" });
    assert.equal(piped.stdout, "through\n");
    assert.equal(await ok("exec", "-d", id, "write", "/tmp/detached", "yes"), "");
    assert.equal((await daemon().client(["exec", id, "nosuch"])).code, 127);
    assert.equal((await daemon().client(["exec", id, "/etc"])).code, 126);
    assert.equal((await daemon().client(["exec", "nobody", "true"])).code, 1);
    assert.doesNotMatch(await ok("exec", id, "ps"), /cat/);
    await ok("rm", "-f", id);
  });

  test("top shows the processes of the container", async () => {
    const id = await started(IMAGE, "sleep");
    const table = await ok("top", id);
    assert.match(table, /^UID +PID +PPID/);
    assert.match(table, /sleep/);
    await ok("rm", "-f", id);
  });

  test("wait gives the exit code, of one or many", async () => {
    const one = await started(IMAGE, "exit", "3");
    const two = await started(IMAGE, "exit", "4");
    assert.equal(await ok("wait", one, two), "3\n4");
    await ok("rm", one, two);
  });

  test("--restart starts again what failed, as often as it says", async () => {
    const id = await started("--restart", "on-failure:2", IMAGE, "seq", "echo once", "exit 1");
    const state = () => inspect(id, "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}");
    for (let n = 0; n < 600 && (await state()) !== "exited 1 2"; n++) await delay(50);
    assert.equal(await state(), "exited 1 2");
    assert.equal(await ok("logs", id), "once\nonce\nonce");
    await ok("rm", "-f", id);
  });

  test("stop ends a container that would always be started again", async () => {
    const id = await started("--restart", "always", IMAGE, "sleep");
    await ok("stop", id);
    assert.equal(await inspect(id, "{{.State.Status}}"), "exited");
    await ok("rm", id);
  });

  test("attach shows what is printed from then on and passes the exit code", async () => {
    const id = await started("-i", IMAGE, "cat");
    const attached = daemon().session("attach", id);
    attached.write("typed\n");
    await attached.until("typed");
    attached.end();
    await ok("kill", id);
    assert.equal(await attached.exitCode(), 137);
    await ok("rm", id);
  });

  test("start -a attaches before the container speaks", async () => {
    const id = await ok("create", "--network", "none", IMAGE, "seq", "echo said", "exit 9");
    const { code, stdout } = await daemon().client(["start", "-a", id]);
    assert.deepEqual([code, stdout], [9, "said\n"]);
    await ok("rm", id);
  });

  test("events tell what happened, in order", async () => {
    const since = String(Math.floor(Date.now() / 1000));
    const id = await started("--name", "watched", IMAGE, "exit", "2");
    await ok("wait", id);
    await ok("rm", id);
    const until = String(Math.floor(Date.now() / 1000) + 1);
    const flags = ["--since", since, "--until", until, "--filter", `container=${id}`];
    const lines = await ok("events", ...flags, "--format", "{{.Action}}");
    const wanted = ["create", "start", "die", "destroy"];
    const seen = lines.split("\n").filter((action) => wanted.includes(action));
    assert.deepEqual(seen, wanted);
    const die = await ok("events", ...flags, "--filter", "event=die", "--format", "json");
    assert.equal(JSON.parse(die).Actor.Attributes.exitCode, "2");
  });

  test("inspect of what is not there is an error and an empty list", async () => {
    const { code, stdout, stderr } = await daemon().client(["inspect", "nothing-here"]);
    assert.equal(code, 1);
    assert.equal(stdout.trim(), "[]");
    assert.match(stderr, /[Nn]o such object: nothing-here/);
  });
}
