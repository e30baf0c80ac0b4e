// When the container of another runtime counts as started, and with which process: an exec joins
// its namespaces, so the runtime's own process, which sees the host's root, must never be taken.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { foreignStarted } from "../../src/engine/runtimes/foreign.ts";
import type { Created, Monitor } from "../../src/native/index.ts";

const RUNTIME: Created = {
  pid: process.pid,
  startTicks: 1n,
  monitorPid: 0,
  results: undefined as never,
};

async function bundleOf(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "gantry-foreign-started-"));
  await mkdir(join(path, "state"));
  const remove = () => rm(path, { recursive: true });
  return { path, [Symbol.asyncDispose]: remove };
}

/** Only what foreignStarted asks of it. */
const monitor = (exited: Promise<unknown>) =>
  ({ exited, closed: exited, release: () => {}, close: () => {} }) as unknown as Monitor;
const started = (bundle: string, exited: Promise<unknown>) =>
  foreignStarted({ program: "/none", bundle } as never, RUNTIME, monitor(exited));

test("a pid file that is empty at first is waited for, and the process is the one it names", async () => {
  await using bundle = await bundleOf();
  const container = spawn("sleep", ["60"]);
  try {
    const waiting = started(bundle.path, new Promise(() => {}));
    await writeFile(join(bundle.path, "pid"), "");
    // Read by then: each write is an event of its own.
    for (let n = 0; n < 20; n++) await writeFile(join(bundle.path, "other"), String(n));
    await writeFile(join(bundle.path, "pid"), String(container.pid));
    assert.equal((await waiting).pid, container.pid);
  } finally {
    container.kill("SIGKILL");
    await once(container, "exit");
  }
});

test("a runtime that ended without a pid file but made a container has run it", async () => {
  await using bundle = await bundleOf();
  assert.equal((await started(bundle.path, Promise.resolve())).pid, RUNTIME.pid);
});

test("a runtime that complains has started nothing", async () => {
  await using bundle = await bundleOf();
  const said = JSON.stringify({ level: "error", msg: "no such file or directory" });
  await writeFile(join(bundle.path, "log.json"), `${said}\n`);
  const waiting = started(bundle.path, Promise.resolve());
  await assert.rejects(waiting, /OCI runtime create failed: no such file or directory: unknown/);
});
