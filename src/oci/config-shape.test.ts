import assert from "node:assert/strict";
import { test } from "node:test";
import { checkConfigShape, checkProcessShape, checkResourcesShape } from "./config-shape.ts";

const minimal = () => ({ ociVersion: "1.3.0", process: { cwd: "/" }, root: { path: "r" } });

test("what a property may be is checked, however deep it is", () => {
  const cases: [change: object, says: RegExp][] = [
    [{ mounts: {} }, /mounts must be a list, not \{\}/],
    [{ mounts: [null] }, /mounts\[0\] must be an object, not null/],
    [{ mounts: [{ type: "tmpfs" }] }, /mounts\[0\]\.destination is missing/],
    [{ mounts: [{ destination: "/", options: "ro" }] }, /mounts\[0\]\.options must be a list/],
    [{ hostname: "a\0b" }, /hostname must be a text/],
    [{ linux: { sysctl: { a: 1 } } }, /linux\.sysctl\.a must be a text, not 1/],
    [
      { linux: { devices: [{ path: "/d", type: "c", major: "1" }] } },
      /major must be a whole number/,
    ],
    [{ linux: { resources: { pids: { limit: 1.5 } } } }, /pids\.limit must be a whole number/],
    [{ hooks: { prestart: [{}] } }, /hooks\.prestart\[0\]\.path is missing/],
    [{ process: [] }, /process must be an object/],
    [{ process: { cwd: "/", terminal: "yes" } }, /process\.terminal must be true or false/],
  ];
  for (const [change, says] of cases) {
    assert.throws(() => checkConfigShape({ ...minimal(), ...change }), says);
  }
  assert.throws(() => checkConfigShape(null), /it must be an object/);
});

test("a process of its own is held to the same", () => {
  const process = { cwd: "/", args: ["x"], user: null, env: null };
  checkProcessShape(process);
  assert.deepEqual(process, { cwd: "/", args: ["x"] });
  assert.throws(() => checkProcessShape(null), /^GantryError: process\.json: it must be an object/);
  assert.throws(() => checkProcessShape({ cwd: "/", args: "x" }), /json: args must be a list/);
  assert.throws(
    () => checkProcessShape({ cwd: "/", user: { uid: "0" } }),
    /user\.uid must be a wh/,
  );
});

test("resources of an update are held to the same, by the name of their file", () => {
  const resources = { memory: { limit: 2n ** 62n, swap: null }, pids: null };
  checkResourcesShape(resources, "r.json");
  assert.deepEqual(resources, { memory: { limit: 2n ** 62n } });
  assert.throws(() => checkResourcesShape([], "-"), /^GantryError: -: it must be an object/);
  const wrong = () => checkResourcesShape({ cpu: { shares: "5" } }, "r.json");
  assert.throws(wrong, /r\.json: cpu\.shares must be a whole number/);
});

test("what the specification does not know is left alone, null is not there", () => {
  const config = {
    ...minimal(),
    mounts: null,
    vm: { path: 5 },
    linux: { seccomp: null, sysctl: { a: null }, constructor: 1, uidMappings: [] },
  };
  checkConfigShape(config);
  // A key of a map is there whatever its value.
  assert.deepEqual(config.linux, { sysctl: { a: "" }, constructor: 1, uidMappings: [] });
  assert.equal("mounts" in config, false);
  checkConfigShape({
    ...minimal(),
    process: { cwd: "/", rlimits: [{ type: "RLIMIT_CORE", soft: 1n, hard: 2n ** 64n }] },
  });
});
