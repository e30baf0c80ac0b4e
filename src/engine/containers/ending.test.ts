import assert from "node:assert/strict";
import { test } from "node:test";
import { NEVER } from "../timestamps.ts";
import { type EndRecord, endFacts, noteSignal, type SentSignal, shortReason } from "./ending.ts";
import type { ContainerRecord } from "./record.ts";

const AT = "2026-01-01T00:00:00.000000000Z";
const LATER = "2026-01-01T00:00:10.000000000Z";

function ended(exitCode: number, end: Partial<EndRecord>, more: Partial<ContainerRecord> = {}) {
  return {
    startedAt: AT,
    finishedAt: LATER,
    exitCode,
    error: "",
    oomKilled: false,
    hostConfig: {},
    end: { signal: 0, pid: 5, sent: [], ...end },
    ...more,
  } as unknown as ContainerRecord;
}
const term = { signal: 15, at: AT };
const kill = { signal: 9, at: LATER };

const cases: [what: string, ContainerRecord, reason: string, says: RegExp][] = [
  ["ended well", ended(0, {}), "finished", /without an error/],
  ["failed", ended(3, {}), "failed", /exit code 3$/],
  ["a missing command in a shell", ended(127, {}), "failed", /a command is not found/],
  ["a killed child of a shell", ended(137, {}), "failed", /SIGKILL ended a command/],
  ["a crash", ended(139, { signal: 11 }), "failed", /SIGSEGV/],
  ["stopped", ended(143, { signal: 15, sent: [term] }), "stopped", /SIGTERM at 2026/],
  ["stopped, with a code", ended(4, { sent: [term] }), "stopped", /exit code 4/],
  [
    "stopped too slowly",
    ended(137, { signal: 9, sent: [term, kill] }),
    "killed-after-grace",
    /did not end within 10 s/,
  ],
  ["killed", ended(137, { signal: 9, sent: [kill] }), "killed-by-user", /killed by gantry/],
  ["killed by others", ended(137, { signal: 9 }), "killed-by-others", /not through this daemon/],
  ["lost", ended(255, { lost: true }), "lost", /monitor/],
  [
    "out of memory",
    ended(
      137,
      { signal: 9, memory: { peakBytes: 1 << 20 } },
      { oomKilled: true, hostConfig: { Memory: 1 << 20 } },
    ),
    "out-of-memory",
    /limit of 1MiB \(it had used 1MiB\)/,
  ],
  [
    "a child out of memory",
    ended(1, {}, { oomKilled: true, hostConfig: { Memory: 1 << 20 } }),
    "out-of-memory",
    /a process in it reached .*; the program then ended with exit code 1/,
  ],
  [
    "the host out of memory",
    ended(137, { signal: 9 }, { oomKilled: true }),
    "out-of-memory",
    /the host was out of memory/,
  ],
];
for (const [what, record, reason, says] of cases) {
  test(`an end is told apart: ${what}`, () => {
    const facts = endFacts(record);
    assert.equal(facts?.reason, reason);
    assert.match(facts?.says ?? "", says);
  });
}

test("what runs, waits for its restart or never ran has no end", () => {
  assert.equal(endFacts(ended(0, {}, { run: {} as never })), undefined);
  assert.equal(endFacts(ended(1, {}, { restarting: true })), undefined);
  assert.equal(endFacts(ended(0, {}, { startedAt: NEVER })), undefined);
});

test("a start that failed is told with its advice", () => {
  const record = ended(127, {}, { error: "no", advice: { cause: "why", remedy: ["a", "b"] } });
  delete record.end;
  const facts = endFacts(record);
  assert.deepEqual([facts?.reason, facts?.cause, facts?.remedy], ["not-started", "why", "a; b"]);
});

test("only ends that an exit code does not explain have a phrase of their own", () => {
  assert.equal(shortReason(ended(0, {})), undefined);
  assert.equal(shortReason(ended(137, { signal: 9, sent: [kill] })), undefined);
  assert.equal(shortReason(ended(137, { signal: 9 })), "killed from outside");
});

test("signals are remembered up to a limit, the latest ones", () => {
  const sent: SentSignal[] = [];
  for (let signal = 1; signal <= 40; signal++) noteSignal(sent, signal, AT);
  assert.equal(sent.length, 16);
  assert.equal(sent.at(-1)?.signal, 40);
});
