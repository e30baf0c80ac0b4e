import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "./contract.ts";
import { SharedWork } from "./shared-work.ts";

function caller() {
  const stop = new AbortController();
  const heard: Message[] = [];
  const tell = (message: Message): void => void heard.push(message);
  return { stop, heard, with: { tell, signal: stop.signal } };
}

test("two callers share the work, and who comes later learns where it stands", async () => {
  const shared = new SharedWork();
  const [a, b] = [caller(), caller()];
  const end = Promise.withResolvers<void>();
  let runs = 0;
  const work = async (tell: (message: Message) => void) => {
    runs++;
    tell({ status: "half" });
    await end.promise;
    tell({ status: "whole" });
  };
  const first = shared.run("x", a.with, work);
  await Promise.resolve().then(() => {});
  const second = shared.run("x", b.with, work);
  end.resolve();
  await Promise.all([first, second]);
  assert.equal(runs, 1);
  assert.deepEqual(b.heard, [{ status: "half" }, { status: "whole" }]);
});

test("the work goes on when the one who began it leaves, and stops with the last", async () => {
  const shared = new SharedWork();
  const [a, b] = [caller(), caller()];
  const seen: { signal?: AbortSignal } = {};
  const work = (_: unknown, signal: AbortSignal) => {
    seen.signal = signal;
    return new Promise<void>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const first = shared.run("x", a.with, work);
  const second = shared.run("x", b.with, work);
  await new Promise(setImmediate);
  a.stop.abort(new Error("gone"));
  await assert.rejects(first, { message: "gone" });
  assert.equal(seen.signal?.aborted, false);
  b.stop.abort(new Error("gone too"));
  await assert.rejects(second, { message: "gone too" });
  assert.equal(seen.signal?.aborted, true);
});

test("when another's work fails one's own is tried", async () => {
  const shared = new SharedWork();
  const fail = async (): Promise<void> => {
    await new Promise(setImmediate);
    throw new Error("no right");
  };
  let done = false;
  const first = shared.run("x", caller().with, fail);
  const second = shared.run("x", caller().with, async () => void (done = true));
  await assert.rejects(first, { message: "no right" });
  await second;
  assert(done);
});
