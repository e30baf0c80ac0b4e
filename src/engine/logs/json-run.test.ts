import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { jsonFormat } from "./json-format.ts";
import { Renderer, type RenderOptions } from "./render.ts";

const all: RenderOptions = {
  stdout: true,
  stderr: true,
  timestamps: false,
  details: false,
  frames: true,
  merge: true,
};
/** With an end, each entry's time is looked at: none goes the short way. */
const UNTIL = { until: { seconds: 1e12, nanoseconds: 0 } };

const text = fc.oneof(
  fc.string({ maxLength: 100 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom('{"log":"', '","stream":"stderr",', "\\", '"', "\\n", "\u001b[31mred", "<&>", ""),
);
/** As Go writes it, which has no need of all that JSON could escape. */
const escaped = (value: string) =>
  JSON.stringify(value).replace(
    /[<>&\u2028]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
const entry = fc
  .record({
    text,
    ended: fc.boolean(),
    stream: fc.constantFrom("stdout", "stderr"),
    time: fc.constantFrom("2026-11-21T17:29:43Z", "2026-11-21T17:29:43.000000001Z"),
    attrs: fc.constantFrom("", '"attrs":{"a":"b"},'),
  })
  .map(
    ({ text: log, ended, stream, time, attrs }) =>
      `{"log":${escaped(log + (ended ? "\n" : ""))},"stream":"${stream}",${attrs}"time":"${time}"}\n`,
  );
/** Whatever a machine that died in the middle of a write has left, and what was never a log. */
const torn = fc.tuple(entry, fc.nat(120)).map(([line, bytes]) => `${line.slice(0, bytes)}\n`);
const line = fc.oneof({ weight: 9, arbitrary: entry }, { weight: 1, arbitrary: torn });

test("entries in a row are rendered as each would be alone", () => {
  const lines = fc.array(line, { maxLength: 40 });
  const flags = fc.record({
    timestamps: fc.boolean(),
    frames: fc.boolean(),
    stdout: fc.boolean(),
    stderr: fc.boolean(),
  });
  fc.assert(
    fc.property(lines, flags, (parts, chosen) => {
      const block = Buffer.from(parts.join(""));
      const short = new Renderer({ ...all, ...chosen }).render(jsonFormat, block).text;
      const long = new Renderer({ ...all, ...chosen, ...UNTIL }).render(jsonFormat, block).text;
      assert.deepEqual(short.toString("latin1"), long.toString("latin1"));
    }),
    { numRuns: 500 },
  );
});

test("long lines and frames that are full are rendered in the same way, too", () => {
  const time = '"time":"2026-11-21T17:29:43.5Z"';
  const long = (length: number) => `{"log":"${"x".repeat(length)}","stream":"stdout",${time}}\n`;
  const block = Buffer.from([1, 16_384, 40_000, 3, 16_384, 16_384, 70_000, 5].map(long).join(""));
  const short = new Renderer(all).render(jsonFormat, block).text;
  assert.deepEqual(short, new Renderer({ ...all, ...UNTIL }).render(jsonFormat, block).text);
});

test("a text stays as it is until the next but one is made in its memory", () => {
  const time = '"time":"2026-11-21T17:29:43.5Z"';
  const blocks = ["a", "b", "", "c"].map((log) =>
    Buffer.from(log && `{"log":"${log}\\n","stream":"stdout",${time}}\n`),
  );
  const renderer = new Renderer({ ...all, frames: false }, { recycle: true });
  const [a, b, none] = blocks.slice(0, 3).map((block) => renderer.render(jsonFormat, block).text);
  assert.deepEqual([a, b, none].map(String), ["a\n", "b\n", ""]);
  const c = renderer.render(jsonFormat, blocks[3]!).text;
  assert.deepEqual([c, b].map(String), ["c\n", "b\n"]);
  assert.equal(c.buffer, a!.buffer);
});
