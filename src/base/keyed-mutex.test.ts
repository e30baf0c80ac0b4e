import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedMutex } from "./keyed-mutex.ts";

test("work of one key is done one at a time, in the order in which it came", async () => {
  const mutex = new KeyedMutex();
  const told: string[] = [];
  const work = (name: string) => async () => {
    told.push(`${name} begins`);
    await Promise.resolve();
    told.push(`${name} ends`);
  };
  await Promise.all(["a", "b"].map((name) => mutex.run("key", work(name))));
  assert.deepEqual(told, ["a begins", "a ends", "b begins", "b ends"]);
});

test("who is aborted while another works leaves at once, and its work is never done", async () => {
  const mutex = new KeyedMutex();
  const first = Promise.withResolvers<void>();
  const holder = mutex.run("key", () => first.promise);
  const abort = new AbortController();
  let begun = false;
  const waiter = mutex.run("key", async () => void (begun = true), { signal: abort.signal });
  const last = mutex.run("key", async () => "last");
  abort.abort(new Error("no more"));
  await assert.rejects(waiter, { message: "no more" });
  first.resolve();
  await holder;
  assert.equal(await last, "last");
  assert.equal(begun, false);
  await mutex.idle();
});

test("work that has begun is not left when its signal is aborted", async () => {
  const mutex = new KeyedMutex();
  const abort = new AbortController();
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<string>();
  const work = async () => {
    begun.resolve();
    return await end.promise;
  };
  const running = mutex.run("key", work, { signal: abort.signal });
  await begun.promise;
  abort.abort();
  end.resolve("whole");
  assert.equal(await running, "whole");
});

test("who holds a key, and how many wait for it, can be asked", async () => {
  const mutex = new KeyedMutex();
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", () => gate.promise);
  const second = mutex.run("a", async () => {});
  await Promise.resolve();
  assert.deepEqual(
    mutex.held().map(({ key, waiting }) => [key, waiting]),
    [["a", 1]],
  );
  gate.resolve();
  await Promise.all([first, second]);
  await mutex.idle();
  assert.deepEqual(mutex.held(), []);
});
