import assert from "node:assert/strict";
import { test } from "node:test";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

test("docker's syntax of detach keys is understood", () => {
  assert.deepEqual([...parseDetachKeys("ctrl-p,ctrl-q")], [16, 17]);
  assert.deepEqual([...parseDetachKeys("a,ctrl-@,ctrl-_")], [97, 0, 31]);
  assert.throws(() => parseDetachKeys("ctrl-"), { kind: "invalid" });
  assert.throws(() => parseDetachKeys("ab"), { kind: "invalid" });
});

function run(keys: string, ...chunks: string[]): { passed: string; detached: boolean } {
  const filter = new DetachFilter(parseDetachKeys(keys));
  let passed = "";
  for (const chunk of chunks) {
    const { pass, detach } = filter.push(Buffer.from(chunk));
    passed += Buffer.from(pass).toString();
    if (detach) return { passed, detached: true };
  }
  return { passed, detached: false };
}

test("the sequence is found across chunks and nothing of it is passed on", () => {
  assert.deepEqual(run("ctrl-p,ctrl-q", "ls\r\x10", "\x11"), { passed: "ls\r", detached: true });
});

test("the beginning of a sequence that goes on otherwise is passed on", () => {
  assert.deepEqual(run("ctrl-p,ctrl-q", "\x10", "x"), { passed: "\x10x", detached: false });
  assert.deepEqual(run("ctrl-p,ctrl-q", "\x10\x10\x11"), { passed: "\x10", detached: true });
});
