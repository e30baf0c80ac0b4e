// A person at a terminal: run -it, attach, exec -it, window sizes, Ctrl-C, and leaving with
// Ctrl-P Ctrl-Q while the container goes on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IMAGE, type TestDaemon } from "../harness.ts";

const CTRL_C = "\x03";
const CTRL_P = "\x10";
const CTRL_Q = "\x11";
/** Says that the terminal is the container's: what is typed before is the client's to echo. */
const READY_CAT = ["seq", "echo ready", "cat"];

export function terminalScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const net = ["--network", "none"];

  test("run -it gives a terminal of the window's size and the exit code", async () => {
    const args = ["run", "-it", "--rm", ...net, IMAGE, "seq", "tty", "exit 6"];
    const session = daemon().terminal(args, { rows: 33, columns: 111 });
    assert.equal(await session.exitCode(), 6);
    assert.match(session.text, /tty=111 rows=33 columns=111/);
  });

  test("without -t there is no terminal", async () => {
    assert.match(await ok("run", "--rm", ...net, IMAGE, "tty"), /tty=000/);
  });

  test("what is typed is echoed once and read by the command", async () => {
    const session = daemon().terminal(["run", "-it", "--rm", ...net, IMAGE, ...READY_CAT]);
    await session.until("ready");
    session.write("typed words\r");
    await session.until(/typed words\r\ntyped words\r\n/);
    session.write("\x04");
    assert.equal(await session.exitCode(), 0);
  });

  test("Ctrl-C reaches the command, not the client", async () => {
    const session = daemon().terminal(["run", "-it", "--rm", ...net, IMAGE, "signals"]);
    await session.until("ready");
    session.write(CTRL_C);
    await session.until("signal 2");
    await ok("kill", "-s", "TERM", await ok("ps", "-lq"));
    assert.equal(await session.exitCode(), 0);
  });

  test("Ctrl-P Ctrl-Q leaves the container running, and attach comes back to it", async () => {
    const session = daemon().terminal([
      "run",
      "-it",
      "--name",
      "left",
      ...net,
      IMAGE,
      ...READY_CAT,
    ]);
    await session.until("ready");
    session.write("first\r");
    await session.until(/first\r\nfirst/);
    session.write(CTRL_P);
    session.write(CTRL_Q);
    assert.equal(await session.exitCode(), 0);
    assert.equal(await ok("inspect", "-f", "{{.State.Status}}", "left"), "running");
    const again = daemon().terminal(["attach", "left"]);
    again.write("second\r");
    await again.until(/second\r\nsecond/);
    again.write("\x04");
    assert.equal(await again.exitCode(), 0);
    await ok("rm", "left");
  });

  test("--detach-keys are the user's own", async () => {
    const keys = ["--detach-keys", "ctrl-x,y"];
    const args = ["run", "-it", ...keys, "--name", "keys", ...net, IMAGE, ...READY_CAT];
    const session = daemon().terminal(args);
    await session.until("ready");
    session.write("here\r");
    await session.until(/here\r\nhere/);
    session.write("\x18y");
    assert.equal(await session.exitCode(), 0);
    await ok("rm", "-f", "keys");
  });

  test("exec -it has a terminal of its own", async () => {
    const id = await ok("run", "-d", ...net, IMAGE, "sleep");
    const session = daemon().terminal(["exec", "-it", id, "seq", "tty", "exit 4"], { rows: 20 });
    assert.equal(await session.exitCode(), 4);
    assert.match(session.text, /tty=111 rows=20 columns=80/);
    await ok("rm", "-f", id);
  });

  test("logs of a terminal are raw", async () => {
    const id = await ok("run", "-dt", ...net, IMAGE, "seq", "echo out", "err oops");
    await ok("wait", id);
    const { stdout } = await daemon().client(["logs", id]);
    assert.equal(stdout, "out\r\noops\r\n");
    await ok("rm", id);
  });
}
