// Each filter by itself, as dockerd 28.5 answers them for the same events.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../contract.ts";
import { matchesFilters } from "./filter.ts";

const make = (
  Type: string,
  Action: string,
  ID: string,
  Attributes: Record<string, string>,
): Event => ({ Type, Action, Actor: { ID, Attributes }, scope: "local", time: 1, timeNano: 1n });

const EVENTS = [
  make("container", "create", "c0ffee01", { image: "web:1", name: "web", tier: "front", a: "b" }),
  make("container", "exec_create: sh -c x", "c0ffee01", { image: "web:1", name: "web" }),
  make("container", "health_status: healthy", "c0ffee02", { image: "db", name: "webby" }),
  make("network", "create", "beef", { name: "web" }),
  make("network", "connect", "cafe", { name: "bridge", container: "c0ffee01" }),
  make("volume", "create", "web", { driver: "local" }),
  make("image", "tag", "sha256:abc", { name: "web:1" }),
  make("daemon", "reload", "d1", { name: "host" }),
];

/** "type action" of those that pass, with their places in the list. */
function passing(...filters: [string, string[]][]): string {
  return EVENTS.flatMap((event, at) => (matchesFilters(event, new Map(filters)) ? [at] : [])).join(
    " ",
  );
}

test("type and scope want the whole word", () => {
  assert.equal(passing(["type", ["network"]]), "3 4");
  assert.equal(passing(["type", ["network", "volume"]]), "3 4 5");
  assert.equal(passing(["type", ["net"]]), "");
  assert.equal(passing(["scope", ["local"]]), "0 1 2 3 4 5 6 7");
  assert.equal(passing(["scope", ["swarm"]]), "");
});

test("event wants the whole action, except of those that say more behind a colon", () => {
  assert.equal(passing(["event", ["create"]]), "0 3 5");
  assert.equal(passing(["event", ["cre"]]), "");
  assert.equal(passing(["event", ["exec_create"]]), "1");
  assert.equal(passing(["event", ["health_status"]]), "2");
  assert.equal(passing(["event", ["health_status: healthy"]]), "2");
  assert.equal(passing(["event", ["health_status: unhealthy"]]), "");
});

test("objects go by the beginning of their id or name, whatever their type", () => {
  for (const key of ["container", "network", "volume"]) {
    assert.equal(passing([key, ["web"]]), "0 1 2 3 5 6", key);
    assert.equal(passing([key, ["c0ffee01"]]), "0 1", key);
    assert.equal(passing([key, ["bridge"]]), "4", key);
    assert.equal(passing([key, ["/web"]]), "", key);
  }
  assert.equal(passing(["daemon", ["host"]]), "7");
  for (const key of ["config", "node", "plugin", "secret", "service"]) {
    assert.equal(passing([key, ["x"]]), "", key);
  }
});

test("image wants a whole id or name, the tag may be left out", () => {
  assert.equal(passing(["image", ["web:1"]]), "0 1 6");
  assert.equal(passing(["image", ["web"]]), "0 1 5 6");
  assert.equal(passing(["image", ["we"]]), "");
  assert.equal(passing(["image", ["sha256:abc"]]), "6");
});

test("all labels must fit, and what no object has of its own is none", () => {
  assert.equal(passing(["label", ["tier"]]), "0");
  assert.equal(passing(["label", ["tier=front", "a=b"]]), "0");
  assert.equal(passing(["label", ["tier=front", "a=c"]]), "");
  assert.equal(passing(["label", ["constructor"]]), "");
});

test("filters are conjoined, and one that nobody knows says nothing", () => {
  assert.equal(passing(["type", ["container"]], ["event", ["create"]]), "0");
  assert.equal(passing(["bogus", ["x"]]), "0 1 2 3 4 5 6 7");
});
