// Plugins that are not there: who is waited for, who is refused, and what is told them later.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLogger } from "../../src/base/index.ts";
import { Authorization } from "../../src/engine/plugins/authorization.ts";
import { Plugins } from "../../src/engine/plugins/plugins.ts";
import { type OwedUnmounts, VolumeDrivers } from "../../src/engine/plugins/volume-drivers.ts";

const NO_WAIT = { answerMs: 60_000, connectMs: 0 };

async function place(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "gantry-plugins-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const missed = Promise.withResolvers<void>();
  const write = (line: string): void => {
    if (line.includes("not there yet")) missed.resolve();
  };
  const log = createLogger({ level: "warn", write });
  const plugins = new Plugins({ sockets: folder, specs: [] }, log);
  const socket = (name: string): string => join(folder, `${name}.sock`);
  return { plugins, log, socket, missed: missed.promise };
}

/** A plugin that implements `part`, and tells what it was asked. */
async function listen(
  t: TestContext,
  path: string,
  part: string,
  answers: Record<string, object> = {},
): Promise<string[]> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    asked.push(`${request.url} ${body}`);
    const isActivate = request.url === "/Plugin.Activate";
    const answer = answers[request.url ?? ""] ?? {};
    response.end(JSON.stringify(isActivate ? { Implements: [part] } : answer));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  return asked;
}

test("a plugin that is not there is refused at once, unless it was promised", async (t) => {
  const { plugins, log, socket, missed } = await place(t);
  await assert.rejects(plugins.require("later", "authz", NO_WAIT), {
    kind: "not-found",
    message: 'plugin "later" not found',
  });
  const authorization = new Authorization(plugins, () => ["later"], log);
  await assert.rejects(authorization.validate(["later"]), {
    message: 'error validating authorization plugin: plugin "later" not found',
  });
  const started = authorization.validate(["later"], { atStart: true });
  await missed;
  const asked = await listen(t, socket("later"), "authz");
  await started;
  assert.deepEqual(asked, ["/Plugin.Activate {}"]);
});

test("an unmount that nobody took is told by the next engine, once", async (t) => {
  const { plugins, log, socket } = await place(t);
  const { records, owed } = memory();
  const drivers = () => new VolumeDrivers(plugins, owed, log);
  for (const id of ["one", "one", "two"]) await drivers().unmount("store", "data", id);
  assert.deepEqual(records.get("data"), { ids: ["one", "two"], held: [] });
  // It may have done it before it went away: what it says does not matter.
  const refusal = { "/VolumeDriver.Unmount": { Err: "not mounted" } };
  const asked = await listen(t, socket("store"), "VolumeDriver", refusal);
  await drivers().remove("store", "data");
  assert.deepEqual(asked, [
    "/Plugin.Activate {}",
    '/VolumeDriver.Unmount {"Name":"data","ID":"one"}',
    '/VolumeDriver.Unmount {"Name":"data","ID":"two"}',
    '/VolumeDriver.Remove {"Name":"data"}',
  ]);
  assert.equal(records.size, 0);
});

test("who mounted for an engine that was killed, and uses it no more, is told of", async (t) => {
  const { plugins, log, socket } = await place(t);
  const { records, owed } = memory();
  const drivers = () => new VolumeDrivers(plugins, owed, log);
  const mounted = { "/VolumeDriver.Mount": { Mountpoint: "/mnt" } };
  const asked = await listen(t, socket("store"), "VolumeDriver", mounted);
  for (const id of ["runs", "starting", "ended"]) await drivers().mount("store", "data", id);
  await drivers().unmount("store", "data", "ended");
  const next = drivers();
  next.recover("data", (id) => id === "runs");
  asked.splice(0);
  await next.mount("store", "data", "another");
  assert.deepEqual(asked, [
    '/VolumeDriver.Unmount {"Name":"data","ID":"starting"}',
    '/VolumeDriver.Mount {"Name":"data","ID":"another"}',
  ]);
  for (const id of ["another", "runs"]) await next.unmount("store", "data", id);
  assert.equal(records.size, 0);
});

function memory() {
  const records = new Map<string, { ids: string[]; held?: string[] }>();
  const owed: OwedUnmounts = {
    get: (key) => records.get(key),
    put: (key, value) => void records.set(key, value),
    delete: (key) => void records.delete(key),
  };
  return { records, owed };
}
