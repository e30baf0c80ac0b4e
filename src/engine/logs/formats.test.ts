import assert from "node:assert/strict";
import { test } from "node:test";
import { binaryFormat } from "./binary-format.ts";
import { jsonFormat } from "./json-format.ts";
import { type LogFormat, newView } from "./record.ts";
import { Renderer, type RenderOptions, textOf } from "./render.ts";
import { jsonLines, records } from "./test-logs.ts";

const all: RenderOptions = {
  stdout: true,
  stderr: true,
  timestamps: false,
  details: false,
  frames: false,
  merge: false,
};

function texts(format: LogFormat, block: Buffer): string[] {
  const found: string[] = [];
  const view = newView();
  for (let at = 0; at < block.length; at = view.next) {
    const result = format.read(block, at, block.length, view);
    if (result === "short") break;
    if (result === "whole") found.push(textOf(block, view) + (view.ended ? "\n" : ""));
  }
  return found;
}

const show = (format: LogFormat, block: Buffer, o: Partial<RenderOptions> = {}) =>
  String(new Renderer({ ...all, ...o }).render(format, block).text);

const awkward = [
  ...["plain\n", "no end", "", "\n", "tty\r\n", "a\nb\n", 'quote " \n', "back\\slash\n"],
  ...["\\n\n", "\\\\n", "n\n", '","stream":"stdout"\n', "\u001b[1m \0 \u2028\n", "é 😀 \ud83d\n"],
  ...["<&>\n", "x".repeat(16384), '"'],
];

test("any text is read back from a JSON line, plain or escaped, with attributes or without", () => {
  for (const attrs of [undefined, { a: 'b"}' }]) {
    const block = jsonLines(awkward.map((log) => ({ log, ...(attrs && { attrs }) })));
    const expected = awkward.map((log) => Buffer.from(log).toString());
    assert.deepEqual(texts(jsonFormat, block), expected);
  }
});

test("lines that a crash has torn are left out, those around them are not", () => {
  const line = jsonLines([{ log: "a\n" }]);
  const torn = Array.from({ length: line.length - 1 }, (_, n) => line.subarray(0, n));
  torn.push(Buffer.from("\0\0\0"), Buffer.from('{"log":"x","stream":"stdout","attrs":{'));
  for (const bad of torn) {
    const block = Buffer.concat([line, bad, Buffer.from("\n"), line]);
    assert.deepEqual(texts(jsonFormat, block), ["a\n", "a\n"]);
    assert.deepEqual(texts(jsonFormat, Buffer.concat([line, bad])), ["a\n"]);
  }
});

test("binary records hold any byte, and say which part of a line they are", () => {
  const block = records([
    { text: Buffer.from([0, 10, 255]), stream: 2 },
    { text: "part", ended: false, ordinal: 1 },
    { text: "end", ordinal: 2 },
  ]);
  const out = new Renderer(all).render(binaryFormat, block).text;
  assert.deepEqual(out, Buffer.from([0, 10, 255, 10, ...Buffer.from("partend\n")]));
  assert.deepEqual(texts(binaryFormat, block.subarray(0, block.length - 1)).length, 2);
});

test("time stamps have nine digits, details are sorted and come after them", () => {
  const block = jsonLines([
    { log: "hi\n", attrs: { b: "2", a: "x y" }, time: "2024-01-02T03:04:05.6Z" },
  ]);
  const shown = show(jsonFormat, block, { timestamps: true, details: true });
  assert.equal(shown, "2024-01-02T03:04:05.600000000Z a=x%20y,b=2 hi\n");
  const whole = jsonLines([{ log: "hi\n", time: "2024-01-02T03:04:05Z" }]);
  const stamped = show(jsonFormat, whole, { timestamps: true });
  assert.equal(stamped, "2024-01-02T03:04:05.000000000Z hi\n");
  const binary = records([{ text: "hi", nano: 1_704_164_645_600_000_001n }]);
  const record = show(binaryFormat, binary, { timestamps: true });
  assert.equal(record, "2024-01-02T03:04:05.600000001Z hi\n");
});

test("without a terminal each line is a frame, or lines of a stream in a row share one", () => {
  const block = records([{ text: "hi", stream: 2 }, { text: "é" }, { text: "x" }]);
  const frames = (merge: boolean) => [
    ...new Renderer({ ...all, frames: true, merge }).render(binaryFormat, block).text,
  ];
  const stderr = [2, 0, 0, 0, 0, 0, 0, 3, 104, 105, 10];
  const first = [0xc3, 0xa9, 10];
  const second = [120, 10];
  const head = (bytes: number) => [1, 0, 0, 0, 0, 0, 0, bytes];
  assert.deepEqual(frames(false), [...stderr, ...head(3), ...first, ...head(2), ...second]);
  assert.deepEqual(frames(true), [...stderr, ...head(5), ...first, ...second]);
});

test("since and until bound the lines by nanoseconds, also where they are out of order", () => {
  const nano = (n: number) => BigInt(1_000_000_000 + n);
  const block = records([3, 1, 2, 4].map((n) => ({ text: String(n), nano: nano(n) })));
  const at = (nanoseconds: number) => ({ seconds: 1, nanoseconds });
  assert.equal(show(binaryFormat, block, { since: at(2) }), "3\n2\n4\n");
  assert.equal(show(binaryFormat, block, { until: at(2) }), "1\n2\n");
  assert.equal(show(binaryFormat, block, { since: at(2), until: at(3) }), "3\n2\n");
  const late = records([{ text: "z", nano: 100n * nano(0) }, { text: "y" }]);
  const renderer = new Renderer({ ...all, until: at(0) });
  assert.equal(renderer.render(binaryFormat, late).text.length, 0);
  assert.equal(renderer.ended, true);
});

test("a stream that is not asked for is left out", () => {
  const block = records([{ text: "e", stream: 2 }, { text: "o" }]);
  assert.equal(show(binaryFormat, block, { stderr: false }), "o\n");
  assert.equal(show(binaryFormat, block, { stdout: false }), "e\n");
});
