import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesPorts, parsePortFilters } from "./port-filter.ts";

const ports = { "80/tcp": [{ HostPort: "8080" }], "53/udp": null };
const shown = (filters: Record<string, string[]>): boolean =>
  matchesPorts(ports, parsePortFilters(new Map(Object.entries(filters)))!);

test("publish is a port of the host, expose one of the container", () => {
  assert.equal(shown({ publish: ["8080"] }), true);
  assert.equal(shown({ publish: ["80"] }), false);
  assert.equal(shown({ publish: ["8000-8100/tcp"] }), true);
  assert.equal(shown({ expose: ["80"] }), true);
  assert.equal(shown({ expose: ["53"] }), false);
  assert.equal(shown({ expose: ["50-60/UDP"] }), true);
});

test("a container that has one of either is shown", () => {
  assert.equal(shown({ publish: ["1"], expose: ["53/udp"] }), true);
  assert.equal(shown({ publish: ["1"], expose: ["2"] }), false);
  assert.equal(parsePortFilters(new Map([["name", ["x"]]])), undefined);
});

test("what is no port is refused in docker's words", () => {
  for (const [value, why] of [
    ["x", /^error while looking up for expose x: strconv.ParseUint: parsing "x": invalid syntax$/],
    ["70000", /value out of range/],
    ["9-1", /invalid range specified for port: 9-1/],
    ["", /empty string/],
    ["1:2", /should not contain ':'/],
  ] as const) {
    assert.throws(() => parsePortFilters(new Map([["expose", [value]]])), { message: why });
  }
});
