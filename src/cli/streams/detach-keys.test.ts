import assert from "node:assert/strict";
import { test } from "node:test";
import { DetachWatcher, parseDetachKeys } from "./detach-keys.ts";

test("detach keys are single characters and ctrl- combinations", () => {
  assert.deepEqual(parseDetachKeys("ctrl-p,ctrl-q"), [16, 17]);
  assert.deepEqual(parseDetachKeys("a,ctrl-@,ctrl-[,ctrl-_"), [97, 0, 27, 31]);
  assert.throws(() => parseDetachKeys("ctrl-foo"), /Unknown character: 'ctrl-foo'/);
});

test("the sequence is recognised across chunks and is not passed on", () => {
  const watcher = new DetachWatcher([16, 17]);
  assert.deepEqual(watcher.push(Buffer.from("ab\x10")), {
    data: Buffer.from("ab"),
    detached: false,
  });
  assert.deepEqual(watcher.push(Buffer.from("\x11c")), { data: Buffer.alloc(0), detached: true });
});

test("a beginning that leads nowhere is passed on", () => {
  const watcher = new DetachWatcher([16, 17]);
  assert.equal(watcher.push(Buffer.from("\x10x")).data.toString(), "\x10x");
  assert.equal(watcher.push(Buffer.from("\x10\x10\x11")).detached, true);
});
