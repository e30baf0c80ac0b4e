import assert from "node:assert/strict";
import { test } from "node:test";
import { progressBar, shown, transferLine } from "./transfer.ts";

const line = (bytes: number, total: number | undefined, columns: number) =>
  transferLine({ verb: "Saving", total, bytes, seconds: 2 }, columns);

test("a transfer shows how much, how fast and how long yet", () => {
  const text = line(10e6, 30e6, 80);
  assert.match(text, /^Saving \[=+> *\] {2}10MB \/ 30MB {2}5MB\/s {2}4 s left$/);
  assert.equal(line(10e6, undefined, 80), "Saving 10MB  5MB/s");
});

test("the line fits the terminal, however narrow", () => {
  for (let columns = 10; columns < 120; columns++) {
    assert.ok(line(12_345_678, 98_765_432, columns).length < columns, `${columns}`);
  }
});

test("the bar is as wide as it is asked to be", () => {
  for (const share of [0, 0.31, 0.999, 1]) assert.equal(progressBar(share, 20).length, 22);
});

test("elsewhere than on a terminal the bytes pass and nothing is shown", async () => {
  const written: unknown[] = [];
  const write = (text: unknown) => void written.push(text);
  const out = { isTerminal: false, color: false, columns: () => undefined, write } as never;
  const source = async function* () {
    yield Buffer.from("ab");
    yield Buffer.from("c");
  };
  const chunks: Buffer[] = [];
  for await (const chunk of shown(out, source(), { verb: "Saving" })) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), "abc");
  assert.deepEqual(written, []);
});
