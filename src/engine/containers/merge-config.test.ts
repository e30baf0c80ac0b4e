import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeConfig } from "./merge-config.ts";

const image = { Entrypoint: ["/entry"], Cmd: ["serve"], Env: ["PATH=/bin", "A=image"] };

test("an own command replaces the image's command and keeps its entrypoint", () => {
  const merged = mergeConfig({ Cmd: ["sh"] }, image);
  assert.deepEqual([merged.Entrypoint, merged.Cmd], [["/entry"], ["sh"]]);
});

test("an own entrypoint discards the image's command", () => {
  const merged = mergeConfig({ Entrypoint: ["/bin/sh"] }, image);
  assert.deepEqual([merged.Entrypoint, merged.Cmd], [["/bin/sh"], null]);
});

test('an entrypoint of [""] takes the image\'s entrypoint away', () => {
  const merged = mergeConfig({ Entrypoint: [""], Cmd: ["ls"] }, image);
  assert.deepEqual([merged.Entrypoint, merged.Cmd], [null, ["ls"]]);
});

test("nothing to run is refused with docker's words", () => {
  assert.throws(() => mergeConfig({}, {}), { kind: "invalid", message: "no command specified" });
});

test("own variables win, the image's others are kept", () => {
  assert.deepEqual(mergeConfig({ Env: ["A=mine"] }, image).Env, ["A=mine", "PATH=/bin"]);
});

test("labels, ports and volumes are united and the user's labels win", () => {
  const merged = mergeConfig(
    { Labels: { a: "2" }, ExposedPorts: { "80/tcp": {} } },
    {
      ...image,
      Labels: { a: "1", b: "1" },
      ExposedPorts: { "443/tcp": {} },
      Volumes: { "/data": {} },
    },
  );
  assert.deepEqual(merged.Labels, { a: "2", b: "1" });
  assert.deepEqual(Object.keys(merged.ExposedPorts ?? {}).sort(), ["443/tcp", "80/tcp"]);
  assert.deepEqual(merged.Volumes, { "/data": {} });
});

test("a health check takes what it leaves open from the image's", () => {
  const merged = mergeConfig(
    { Healthcheck: { Interval: 5 } },
    { ...image, Healthcheck: { Test: ["CMD", "true"], Interval: 9, Retries: 4 } },
  );
  assert.equal(merged.Healthcheck?.Interval, 5);
  assert.deepEqual(merged.Healthcheck?.Test, ["CMD", "true"]);
  assert.equal(merged.Healthcheck?.Retries, 4);
});
