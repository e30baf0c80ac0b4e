import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import { checkConflicts } from "./config-conflicts.ts";
import { publishRequests } from "./publish-requests.ts";
import { checkTmpfs } from "./tmpfs-options.ts";

const joined: HostConfig = { NetworkMode: "container:x" };

const refused: [ContainerConfig, HostConfig, RegExp][] = [
  [{ Hostname: "h" }, { UTSMode: "host" }, /hostname and the UTS mode$/],
  [{ Hostname: "h" }, joined, /hostname and the network mode$/],
  [{}, { ...joined, Dns: ["1.1.1.1"] }, /dns and the network mode$/],
  [{}, { ...joined, ExtraHosts: ["a:1.1.1.1"] }, /custom host-to-IP mapping/],
  [{}, { ...joined, PublishAllPorts: true }, /port publishing and the container type/],
  [{ ExposedPorts: { "80/tcp": {} } }, joined, /port exposing and the container type/],
  [{ Healthcheck: { Interval: 1000 } }, {}, /^Interval in Healthcheck cannot be less than 1ms$/],
  [{ Healthcheck: { Retries: -1 } }, {}, /^Retries in Healthcheck cannot be negative$/],
  [{ StopSignal: "NOPE" }, {}, /^invalid signal: NOPE$/],
  [{ WorkingDir: "rel" }, {}, /^the working directory 'rel' is invalid/],
];
for (const [config, host, says] of refused) {
  test(`a request is refused where ${says.source} holds`, () => {
    assert.throws(() => checkConflicts(config, host), { kind: "invalid", message: says });
  });
}

test("a joined network by itself, and health checks without durations, are fine", () => {
  checkConflicts({ Healthcheck: { Test: ["NONE"], Interval: 0 } }, joined);
});

test("options of --tmpfs are checked before the container is made", () => {
  checkTmpfs("/x", "");
  checkTmpfs("/x", "size=1m,mode=755,uid=3,exec,rshared");
  assert.throws(() => checkTmpfs("x", ""), /mount path must be absolute$/);
  assert.throws(() => checkTmpfs("/x", "rw,bogus"), /^GantryError: invalid tmpfs option "bogus"$/);
});

test("a port without a binding is published only with -P", () => {
  const config = { ExposedPorts: { "80/tcp": {}, "90/udp": {} } };
  const PortBindings = { "80/tcp": [] };
  assert.deepEqual(publishRequests(config, { PortBindings }), []);
  assert.equal(publishRequests(config, { PortBindings, PublishAllPorts: true }).length, 2);
});
