import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import { ServiceManager, takeServiceEnvironment } from "./systemd.ts";

const given = (pid: number): NodeJS.ProcessEnv => ({
  NOTIFY_SOCKET: "/run/systemd/notify",
  WATCHDOG_USEC: "2000000",
  WATCHDOG_PID: String(pid),
  LISTEN_PID: String(pid),
  LISTEN_FDS: "3",
  LISTEN_FDNAMES: "api::x",
  HOME: "/root",
});

test("what is meant for this process is taken, and nothing is left for children", () => {
  const env = given(7);
  assert.deepEqual(takeServiceEnvironment(env, 7), {
    sockets: [
      { descriptor: 3, name: "api" },
      { descriptor: 4, name: "unknown" },
      { descriptor: 5, name: "x" },
    ],
    notifySocket: "/run/systemd/notify",
    watchdogMs: 2000,
  });
  assert.deepEqual(env, { HOME: "/root" });
});

test("what is meant for another process is not taken, and still not passed on", () => {
  const env = given(8);
  assert.deepEqual(takeServiceEnvironment(env, 7), {
    sockets: [],
    notifySocket: "/run/systemd/notify",
    watchdogMs: undefined,
  });
  assert.deepEqual(env, { HOME: "/root" });
  for (const bad of ["", "relative", "@", "/"]) {
    assert.equal(takeServiceEnvironment({ NOTIFY_SOCKET: bad }, 7).notifySocket, "");
  }
  const many = { LISTEN_PID: "7", LISTEN_FDS: "x" };
  assert.deepEqual(takeServiceEnvironment(many, 7).sockets, []);
});

test("messages go through the native program in this process's name, and never fail", async () => {
  const sent: Operation[] = [];
  const native = {
    run: async ({ host }: { host: readonly Operation[] }) => {
      sent.push(...host);
      throw new Error("nobody listens");
    },
  };
  const service = { sockets: [], notifySocket: "@name", watchdogMs: undefined };
  const manager = new ServiceManager(service, { native: native as never, log: silentLogger });
  await manager.ready("Serving");
  await manager.stopping(5);
  assert.deepEqual(sent, [
    { op: "notify", path: "@name", text: "READY=1\nSTATUS=Serving", pid: process.pid },
    {
      op: "notify",
      path: "@name",
      text: "STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=35000000",
      pid: process.pid,
    },
  ]);
});
