import assert from "node:assert/strict";
import { test } from "node:test";
import { goFileMode, isDirectory } from "./file-mode.ts";
import { parseSignal } from "./signals.ts";
import { selectProcesses } from "./top.ts";

test("top keeps the container's rows, and a command with spaces in one column", () => {
  const output = "UID PID CMD\nroot 1 init\nroot 42 sh -c 'sleep 1'\n";
  assert.deepEqual(selectProcesses(output, new Set([42])), {
    Titles: ["UID", "PID", "CMD"],
    Processes: [["root", "42", "sh -c 'sleep 1'"]],
  });
  assert.throws(() => selectProcesses("UID CMD\n", new Set()), { kind: "internal" });
});

test("signals are known by name, with and without SIG, and by number", () => {
  assert.deepEqual(
    ["KILL", "sigterm", "10", "RTMIN+1", "SIGRTMAX-1"].map((text) => parseSignal(text)),
    [9, 15, 10, 35, 63],
  );
  for (const bad of ["NOSUCH", "0", ""]) {
    assert.throws(() => parseSignal(bad), { message: `invalid signal: ${bad}` });
  }
  const unknown = { message: "failed: the linux daemon does not support signal 65" };
  assert.throws(() => parseSignal("65", "failed: "), unknown);
});

test("file modes have Go's bits", () => {
  assert.equal(goFileMode(0o100644), 0o644);
  assert.equal(goFileMode(0o041777), 2 ** 31 + 2 ** 20 + 0o777);
  assert.equal(isDirectory(goFileMode(0o040755)), true);
  assert.equal(goFileMode(0o120777), 2 ** 27 + 0o777);
});
