import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { LineCutter, openLogFiles, seekTail, streamFile } from "./files.ts";
import {
  boundOf,
  encodeLines,
  fixedTime,
  formatLogLine,
  isPastUntil,
  parseLogLine,
} from "./line.ts";

const line = (text: string) =>
  `${JSON.stringify({ log: `${text}\n`, stream: "stdout", time: "t" })}\n`;

async function tail(path: string, count: number): Promise<string[]> {
  const files = await openLogFiles(path);
  const start = await seekTail(files, count);
  const found: string[] = [];
  let skip = start.skipLines;
  for (const file of files.slice(start.file)) {
    const cutter = new LineCutter();
    for await (const chunk of streamFile(file)) {
      for (const text of cutter.push(chunk)) {
        if (skip-- > 0) continue;
        found.push(parseLogLine(text)!.log.replace(/\n$/, ""));
      }
    }
  }
  await Promise.all(files.map((file) => file.handle.close()));
  return found;
}

test("the last lines are found across rotated and compressed files", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-log-"));
  try {
    const path = join(dir, "x.log");
    await writeFile(`${path}.2.gz`, gzipSync(line("a") + line("b")));
    await writeFile(`${path}.1`, line("c") + line("d"));
    await writeFile(path, line("e"));
    assert.deepEqual(await tail(path, 1), ["e"]);
    assert.deepEqual(await tail(path, 2), ["d", "e"]);
    assert.deepEqual(await tail(path, 4), ["b", "c", "d", "e"]);
    assert.deepEqual(await tail(path, 99), ["a", "b", "c", "d", "e"]);
    assert.deepEqual(await tail(path, 0), []);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("a tail that spans many blocks begins at the right line", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-log-"));
  try {
    const path = join(dir, "x.log");
    const lines = Array.from({ length: 5000 }, (_, n) => `line ${n} ${"x".repeat(n % 97)}`);
    await writeFile(path, lines.map(line).join(""));
    assert.deepEqual(await tail(path, 3000), lines.slice(-3000));
  } finally {
    await rm(dir, { recursive: true });
  }
});

const format = { stdout: true, stderr: true, timestamps: false, details: false, frames: false };

test("time stamps have nine digits, details are sorted and come after them", () => {
  const parsed = parseLogLine(
    '{"log":"hi\\n","stream":"stderr","attrs":{"b":"2","a":"x y"},"time":"2024-01-02T03:04:05.6Z"}',
  )!;
  const formatted = formatLogLine(parsed, { ...format, timestamps: true, details: true });
  assert.equal(String(formatted), "2024-01-02T03:04:05.600000000Z a=x%20y,b=2 hi\n");
});

test("without a terminal each line is a frame of its stream", () => {
  const lines = [
    { stream: "stderr", text: "hi" },
    { stream: "stdout", text: "é" },
  ] as const;
  const frames = [2, 0, 0, 0, 0, 0, 0, 2, 104, 105, 1, 0, 0, 0, 0, 0, 0, 2, 0xc3, 0xa9];
  assert.deepEqual([...encodeLines(lines, true)], frames);
  assert.equal(String(encodeLines(lines, false)), "hié");
});

test("since and until bound the lines by nanoseconds", () => {
  const parsed = parseLogLine('{"log":"hi","stream":"stdout","time":"1970-01-01T00:00:01.5Z"}')!;
  const at = (nanoseconds: number) => boundOf({ seconds: 1, nanoseconds })!;
  assert.equal(formatLogLine(parsed, { ...format, since: at(500_000_001) }), undefined);
  assert.equal(formatLogLine(parsed, { ...format, since: at(500_000_000) }), "hi");
  assert.equal(isPastUntil(parsed, { ...format, until: at(499_999_999) }), true);
  assert.equal(isPastUntil(parsed, { ...format, until: at(500_000_000) }), false);
});

test("a torn line is left out", () => {
  assert.equal(parseLogLine('{"log":"hi'), undefined);
  assert.equal(fixedTime("2024-01-02T03:04:05Z"), "2024-01-02T03:04:05.000000000Z");
});

test("a line is read the same whether it is plain or needs JSON", () => {
  const logs = [
    "plain\n",
    "no end",
    "ctrl \u001b[1m\n",
    'quote " \n',
    "tty\r\n",
    "back\\slash\n",
    "é\n",
  ];
  for (const log of ["", '","stream":"stdout"\n', "\n", "a\nb\n", ...logs]) {
    for (const stream of ["stdout", "stderr"]) {
      const line = { log, stream, time: "2024-01-02T03:04:05.678Z" };
      assert.deepEqual(parseLogLine(JSON.stringify(line)), line);
      const withAttrs = { log, stream, attrs: { a: "b" }, time: line.time };
      assert.deepEqual(parseLogLine(JSON.stringify(withAttrs)), withAttrs);
    }
  }
});
