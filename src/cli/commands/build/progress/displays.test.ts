import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import type { Output } from "../../../io.ts";
import { failedSteps, warningsText } from "../failure.ts";
import { PlainDisplay } from "./plain.ts";
import { rawJson } from "./rawjson.ts";
import type { Status, Vertex } from "./status.ts";
import { bytesText, secondsText, Trace } from "./trace.ts";
import { drawing } from "./tty.ts";

const T0 = 1_700_000_000_000;
const NOTHING: Status = { vertexes: [], statuses: [], logs: [], warnings: [] };

function vertex(digest: string, name: string, more: Partial<Vertex> = {}): Vertex {
  return { digest, name, inputs: [], cached: false, error: "", ...more };
}
const log = (digest: string, text: string, seconds: number) => ({
  ...{ vertex: digest, stream: 1, data: Buffer.from(text), timestamp: T0 + seconds * 1000 },
});

function memory(): Output & { text(): string } {
  let text = "";
  return {
    isTerminal: false,
    color: false,
    columns: () => undefined,
    stream: new Writable(),
    write: (data) => {
      text += String(data);
    },
    text: () => text,
  };
}

/** A build of four steps, one of them found, with output in pieces and a transfer. */
const BUILD: Status[] = [
  {
    ...NOTHING,
    vertexes: [
      vertex("a", "[internal] load build definition from Dockerfile", { started: T0 }),
      vertex("b", "[1/2] FROM docker.io/library/alpine:3.20"),
      vertex("c", "[2/2] RUN make"),
    ],
  },
  {
    ...NOTHING,
    statuses: [
      {
        ...{ id: "transferring dockerfile:", vertex: "a", name: "", current: 1520, total: 0 },
        ...{ timestamp: T0 + 20, started: T0, completed: T0 + 20 },
      },
    ],
    vertexes: [vertex("a", "", { started: T0, completed: T0 + 40 })].map((one) => ({
      ...one,
      name: "[internal] load build definition from Dockerfile",
    })),
  },
  {
    ...NOTHING,
    vertexes: [
      vertex("b", "[1/2] FROM docker.io/library/alpine:3.20", {
        ...{ cached: true, started: T0 + 50, completed: T0 + 50 },
      }),
      vertex("c", "[2/2] RUN make", { started: T0 + 100 }),
    ],
  },
  { ...NOTHING, logs: [log("c", "cc -o ", 0.223), log("c", "main\nlinking\n", 0.5)] },
  { ...NOTHING, logs: [log("c", "no end", 12.5)] },
];
const PASSED: Status = {
  ...NOTHING,
  vertexes: [vertex("c", "[2/2] RUN make", { started: T0 + 100, completed: T0 + 13_100 })],
};
const FAILED: Status = {
  ...NOTHING,
  vertexes: [
    vertex("c", "[2/2] RUN make", {
      ...{ started: T0 + 100, completed: T0 + 13_100, error: "exit code: 2" },
    }),
  ],
};

function plain(statuses: readonly Status[]): { text: string; trace: Trace } {
  const out = memory();
  const display = new PlainDisplay(out, () => T0);
  for (const status of statuses) display.update(status);
  display.finish();
  return { text: out.text(), trace: display.trace };
}

test("plain progress has a line for everything, with the step's number", () => {
  assert.equal(
    plain([...BUILD, PASSED]).text,
    `#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 1.52kB 0.0s done
#1 DONE 0.0s

#2 [1/2] FROM docker.io/library/alpine:3.20
#2 CACHED

#3 [2/2] RUN make
#3 0.123 cc -o main
#3 0.400 linking
#3 12.40 no end
#3 DONE 13.0s
`,
  );
});

test("a step that fails says so, and its last words come again at the end", () => {
  const { text, trace } = plain([...BUILD, FAILED]);
  assert.match(text, /#3 ERROR: exit code: 2\n$/);
  assert.equal(
    failedSteps(trace),
    `------
 > [2/2] RUN make:
0.123 cc -o main
0.400 linking
12.40 no end
------
`,
  );
});

test("a cancelled step is no failure", () => {
  const error = 'process "make" did not complete successfully: context canceled';
  const { text, trace } = plain([
    ...BUILD,
    { ...NOTHING, vertexes: [{ ...FAILED.vertexes[0]!, error }] },
  ]);
  assert.match(text, /#3 CANCELED\n$/);
  assert.equal(failedSteps(trace), "");
});

test("lines of steps that run side by side stay together for a while", () => {
  const out = memory();
  let now = T0;
  const display = new PlainDisplay(out, () => now);
  display.update({
    ...NOTHING,
    vertexes: [
      vertex("a", "[a 1/1] RUN a", { started: T0 }),
      vertex("b", "[b 1/1] RUN b", { started: T0 }),
    ],
  });
  display.update({ ...NOTHING, logs: [log("a", "a1\n", 1), log("b", "b1\n", 1)] });
  assert.doesNotMatch(out.text(), /b1/);
  now += 6_000;
  display.update({ ...NOTHING, logs: [log("a", "a2\n", 7), log("b", "b2\n", 7)] });
  display.finish();
  assert.equal(
    out.text(),
    `#1 [a 1/1] RUN a
#1 1.000 a1
#1 7.000 a2
#1 ...

#2 [b 1/1] RUN b
#2 1.000 b1
#2 7.000 b2
`,
  );
});

const VIEW = { title: "Building", width: 60, height: 24, isDone: false, now: T0 + 2_000 };

function traceOf(statuses: readonly Status[]): Trace {
  const trace = new Trace();
  for (const status of statuses) trace.update(status);
  return trace;
}

test("a terminal shows steps, transfers, and what running steps said last", () => {
  const rows = drawing(traceOf(BUILD), VIEW);
  assert.deepEqual(
    rows.map(({ text, time }) => (time === "" ? text : `${text} | ${time}`)),
    [
      "[+] Building 2.0s (2/3)",
      " => [internal] load build definition from Dockerfile | 0.0s",
      " => => transferring dockerfile: 1.52kB | 0.0s",
      " => CACHED [1/2] FROM docker.io/library/alpine:3.20 | 0.0s",
      " => [2/2] RUN make | 1.9s",
      " => => # cc -o main",
      " => => # linking",
      " => => # no end",
    ],
  );
});

test("where there is no room, what is done gives way first", () => {
  const rows = drawing(traceOf(BUILD), { ...VIEW, height: 6 });
  assert.deepEqual(
    rows.map(({ text }) => text),
    [
      "[+] Building 2.0s (2/3)",
      " => [2/2] RUN make",
      " => => # cc -o main",
      " => => # linking",
      " => => # no end",
    ],
  );
});

test("the last drawing is whole and says how long it took", () => {
  const rows = drawing(traceOf([...BUILD, FAILED]), { ...VIEW, height: 4, isDone: true });
  assert.equal(rows[0]!.text, "[+] Building 13.1s (3/3) FINISHED");
  assert.equal(rows.at(-1)!.text, " => ERROR [2/2] RUN make");
  assert.equal(rows.length, 5);
});

test("what a step prints cannot move the terminal's cursor", () => {
  const trace = traceOf([
    ...BUILD.slice(0, 3),
    { ...NOTHING, logs: [log("c", "10%\r50%\x1b[2K\x1b[31m red\x1b[0m\x07\n", 1)] },
  ]);
  const line = drawing(trace, VIEW).at(-1)!.text;
  assert.equal(line.replace("\x07", ""), " => => # 50% red");
});

test("raw JSON has buildx' fields and leaves out what is not there", () => {
  assert.deepEqual(
    rawJson({ ...NOTHING, vertexes: [PASSED.vertexes[0]!], logs: [log("c", "x", 1)] }),
    {
      vertexes: [
        {
          digest: "c",
          name: "[2/2] RUN make",
          started: "2023-11-14T22:13:20.100Z",
          completed: "2023-11-14T22:13:33.100Z",
        },
      ],
      logs: [{ vertex: "c", stream: 1, data: "eA==", timestamp: "2023-11-14T22:13:21.000Z" }],
    },
  );
});

test("warnings are summed up, and expanded with their lines", () => {
  const trace = traceOf([
    ...BUILD.slice(0, 1),
    {
      ...NOTHING,
      warnings: [
        {
          ...{
            vertex: "a",
            level: 1,
            short: "Rule: text (line 2)",
            detail: ["why"],
            url: "https://x/",
          },
          source: {
            fileName: "Dockerfile",
            text: "FROM a\nRUN b\n",
            ranges: [{ start: 2, end: 2 }],
          },
        },
      ],
    },
  ]);
  assert.equal(
    warningsText(trace, { expanded: false }),
    "\n 1 warning found (use gantry --debug to expand):\n - Rule: text (line 2)\n",
  );
  assert.match(
    warningsText(trace, { expanded: true }),
    /More info: https:\/\/x\/\n[\s\S]*2 \| >>> RUN b/,
  );
});

test("sizes and times are BuildKit's", () => {
  assert.deepEqual([0, 999, 1000, 1_234_567].map(bytesText), ["0B", "999B", "1.00kB", "1.23MB"]);
  assert.deepEqual([0.1234, 12.345, 123.45].map(secondsText), ["0.123", "12.35", "123.5"]);
});
