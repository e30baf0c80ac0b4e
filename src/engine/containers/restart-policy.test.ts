import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkRestartPolicy,
  nextDelayMs,
  wantsRestart,
  wantsStartAtBoot,
} from "./restart-policy.ts";

const policy = (Name: string, MaximumRetryCount = 0) => ({ Name, MaximumRetryCount });
const exit = (exitCode: number, restartCount = 0, manuallyStopped = false) => ({
  exitCode,
  restartCount,
  manuallyStopped,
});

test("on-failure restarts failures only, and only so often", () => {
  assert.equal(wantsRestart(policy("on-failure"), exit(0)), false);
  assert.equal(wantsRestart(policy("on-failure"), exit(1, 99)), true);
  assert.equal(wantsRestart(policy("on-failure", 2), exit(1, 1)), true);
  assert.equal(wantsRestart(policy("on-failure", 2), exit(1, 2)), false);
});

test("a container that a user stopped is not restarted, whatever its policy", () => {
  for (const name of ["always", "unless-stopped", "on-failure"]) {
    assert.equal(wantsRestart(policy(name), exit(1, 0, true)), false);
  }
});

test("at boot always starts even what a user had stopped, unless-stopped does not", () => {
  assert.equal(wantsStartAtBoot(policy("always"), exit(0, 0, true)), true);
  assert.equal(wantsStartAtBoot(policy("unless-stopped"), exit(0, 0, true)), false);
  assert.equal(wantsStartAtBoot(policy("unless-stopped"), exit(0)), true);
  assert.equal(wantsStartAtBoot(policy("no"), exit(1)), false);
});

test("the delay doubles from 100 ms to a minute and falls back after a long run", () => {
  let delay = 0;
  const delays = Array.from({ length: 12 }, () => (delay = nextDelayMs(delay, 0)));
  assert.deepEqual(delays.slice(0, 4), [100, 200, 400, 800]);
  assert.equal(delays.at(-1), 60_000);
  assert.equal(nextDelayMs(60_000, 10_000), 100);
});

test("contradictory policies are refused", () => {
  for (const host of [
    { RestartPolicy: policy("always", 3) },
    { RestartPolicy: policy("on-failure", -1) },
    { RestartPolicy: policy("sometimes") },
    { RestartPolicy: policy("always"), AutoRemove: true },
  ]) {
    assert.throws(() => checkRestartPolicy(host), { kind: "invalid" });
  }
  checkRestartPolicy({ RestartPolicy: policy("no"), AutoRemove: true });
});
