// The daemon as a service: sockets that were passed are served, by all, number and name; the
// service manager hears of every change in the daemon's own name; nothing of it reaches containers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { removeCgroupFolders } from "../support/cgroup-folders.ts";
import { FakeServiceManager } from "../support/fake-systemd.ts";
import { root, whyNoDaemon } from "./harness.ts";

const run = promisify(execFile);
const limits = { skip: whyNoDaemon(), timeout: 120_000 };
const gantry = join(root, "bin/gantry");
let folder = "";
let config = "";
const cgroupParent = `gantry-test-${randomBytes(4).toString("hex")}`;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-systemd-"));
  config = join(folder, "daemon.json");
  await writeFile(config, "{}");
});
after(async () => {
  await removeCgroupFolders(cgroupParent);
  await rm(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);
const command = (...more: string[]): string[] => [
  ...[gantry, "daemon", "--data-root", at("data"), "--exec-root", at("run")],
  ...["--pidfile", at("pid"), "--config-file", config, "--cgroup-parent", cgroupParent, ...more],
];

async function ping(socketPath: string): Promise<string> {
  const outgoing = request({ socketPath, path: "/_ping", agent: false });
  outgoing.end();
  const [response] = await once(outgoing, "response");
  return await readAll(response);
}

test("a service tells of its life, and serves what it was passed", limits, async () => {
  const notify = `@gantry-test-${randomBytes(4).toString("hex")}`;
  const manager = await FakeServiceManager.start({
    notify,
    sockets: [`api=${at("api.sock")}`, `more=${at("more.sock")}`],
    command: command(),
    env: { WATCHDOG_USEC: "400000" },
  });
  try {
    const [, pid] = await manager.heard(/^(\d+) READY=1;STATUS=.+$/m);
    assert.equal(await readFile(at("pid"), "utf8"), pid);
    assert.equal(await ping(at("api.sock")), "OK");
    assert.equal(await ping(at("more.sock")), "OK");
    // What is for the daemon alone is not in its environment any more.
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
    for (const child of children.trim().split(" ")) {
      const environment = await readFile(`/proc/${child}/environ`, "latin1");
      assert.doesNotMatch(environment, /NOTIFY_SOCKET|LISTEN_FDS|WATCHDOG/);
    }
    await manager.heard(new RegExp(`^${pid} WATCHDOG=1$`, "m"));
    process.kill(Number(pid), "SIGHUP");
    await manager.heard(
      new RegExp(`^${pid} RELOADING=1;MONOTONIC_USEC=\\d+$[^]*^${pid} READY=1`, "m"),
    );
    assert.equal(await manager.stop(), 0);
    assert.match(
      manager.text,
      new RegExp(`^${pid} STOPPING=1;.*EXTEND_TIMEOUT_USEC=30000000$`, "m"),
    );
    await access(at("api.sock")); // it is the manager's, who may pass it again
  } finally {
    await manager.stop();
    await rm(at("api.sock"), { force: true });
    await rm(at("more.sock"), { force: true });
  }
});

test("of several sockets one is chosen by name, beside an address of its own", limits, async () => {
  const notify = at("notify.sock");
  const manager = await FakeServiceManager.start({
    notify,
    sockets: [`api=${at("a.sock")}`, `other=${at("b.sock")}`],
    command: command("-H", "fd://other", "-H", `unix://${at("own.sock")}`),
  });
  try {
    await manager.heard(/READY=1/);
    assert.equal(await ping(at("b.sock")), "OK");
    assert.equal(await ping(at("own.sock")), "OK");
    assert.match(manager.text, /API listen on fd:\/\/4/);
    assert.doesNotMatch(manager.text, /API listen on fd:\/\/3/);
    assert.doesNotMatch(manager.text, /WATCHDOG/);
    assert.equal(await manager.stop(), 0);
  } finally {
    await manager.stop();
  }
});

test("sockets that were not passed are missed in dockerd's words", limits, async () => {
  const cases: [host: string, sockets: string[], said: RegExp][] = [
    ["fd://", [], /no sockets found via socket activation: make sure the service was started by/],
    ["fd://9", [`x=${at("x.sock")}`], /too few socket activated files passed in by systemd/],
    [
      "fd://nope",
      [`x=${at("y.sock")}`],
      /no socket named "nope" was passed in by systemd, only: x/,
    ],
  ];
  for (const [host, sockets, said] of cases) {
    const notify = `@gantry-test-${randomBytes(4).toString("hex")}`;
    const manager = await FakeServiceManager.start({
      notify,
      sockets,
      command: command("-H", host),
    });
    try {
      await manager.heard(/^exit 1$/m);
      assert.match(manager.text, said);
      assert.doesNotMatch(manager.text, /READY=1/);
    } finally {
      await manager.stop();
    }
  }
});

test("systemd finds no fault with the units", { timeout: 60_000 }, async (t) => {
  const found = await run("systemd-analyze", ["--version"]).catch(() => undefined);
  if (found === undefined) return t.skip("systemd-analyze is not installed");
  const units = join(root, "packaging");
  const service = await readFile(join(units, "gantry.service"), "utf8");
  // The program need not be installed where the package puts it.
  const here = service.replaceAll("/usr/bin/gantry", gantry);
  await writeFile(at("gantry.service"), here);
  await writeFile(at("gantry.socket"), await readFile(join(units, "gantry.socket")));
  const { stdout, stderr } = await run("systemd-analyze", [
    "verify",
    at("gantry.service"),
    at("gantry.socket"),
  ]);
  assert.equal(stdout + stderr, "");
});
