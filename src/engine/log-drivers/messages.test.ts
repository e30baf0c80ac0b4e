import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../logs/index.ts";
import { datetimePattern, EVENT_BYTES_MAX, eventsOf, oneCall } from "./aws-events.ts";
import { journalEntry, journalFieldName } from "./driver-journald.ts";
import { joinParts } from "./join-parts.ts";
import { facilityNumber, frameMessage, syslogHeader } from "./syslog-message.ts";

const TIME = 1_700_000_000_123_456_789n;

function line(text: string, partial?: LogEntry["partial"]): LogEntry {
  return { stream: "stdout", timeNano: TIME, text: Buffer.from(text), ...(partial && { partial }) };
}
const part = (id: string, ordinal: number, last = false) => ({ id, ordinal, last });
const shown = (entries: readonly LogEntry[]) => entries.map(({ text }) => text.toString());

test("a facility is known by name and by number", () => {
  const names = [undefined, "", "kern", "daemon", "ftp", "local0", "local7", "23"];
  assert.deepEqual(names.map(facilityNumber), [3, 3, 0, 3, 11, 16, 23, 23]);
  assert.deepEqual(["local8", "24", "-1", "x"].map(facilityNumber), Array(4).fill(undefined));
});

test("the formats of syslog have their fields in order", () => {
  const header = { priority: 30, hostname: "host", tag: "abc", pid: 7 };
  const at = (format: "" | "rfc3164" | "rfc5424" | "rfc5424micro") =>
    syslogHeader(TIME, { ...header, format });
  assert.match(at(""), /^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:20 abc\[7\]: $/);
  assert.match(at("rfc3164"), /^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:20 host abc\[7\]: $/);
  const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:20`;
  const zone = String.raw`(Z|[+-]\d\d:\d\d)`;
  assert.match(at("rfc5424"), new RegExp(`^<30>1 ${time}${zone} host abc 7 abc - $`));
  const micro = new RegExp(`^<30>1 ${time}\\.123456${zone} host abc 7 abc - $`);
  assert.match(at("rfc5424micro"), micro);
  const [given = ""] = /\d{4}\S+/.exec(at("rfc5424micro")) ?? [];
  assert.equal(new Date(given).getTime(), Number(TIME / 1_000_000n));
});

test("a message ends with one newline, and its frame counts bytes", () => {
  assert.equal(String(frameMessage("<1>a: ", Buffer.from("é"), false)), "<1>a: é\n");
  assert.equal(String(frameMessage("<1>a: ", Buffer.from("é"), true)), "9 <1>a: é\n");
  assert.equal(String(frameMessage("<1>a: ", Buffer.from("x\n"), true)), "8 <1>a: x\n");
});

test("parts become lines again, also where both streams are interleaved", () => {
  const entries = [
    line("A1", part("a", 1)),
    line("B1", part("b", 1)),
    line("A2", part("a", 2, true)),
    line("c"),
    line("B2", part("b", 2, true)),
  ];
  const all = joinParts(entries, { bytesMax: 100, flush: false });
  assert.deepEqual([shown(all.joined), all.taken], [["A1A2", "c", "B1B2"], 5]);
  const some = joinParts(entries.slice(0, 4), { bytesMax: 100, flush: false });
  assert.deepEqual([shown(some.joined), some.taken], [[], 0], "A's parts lie around B's first");
  const flushed = joinParts(entries.slice(0, 4), { bytesMax: 100, flush: true });
  assert.deepEqual([shown(flushed.joined), flushed.taken], [["A1A2", "c", "B1"], 4]);
});

test("a joined line is never above its limit", () => {
  const parts = Array.from({ length: 9 }, (_, n) => line("xxxx", part("a", n + 1, n === 8)));
  const { joined } = joinParts(parts, { bytesMax: 10, flush: false });
  assert.ok(joined.every(({ text }) => text.length <= 10));
  assert.equal(joined.map(({ text }) => text).join(""), "xxxx".repeat(9));
});

test("with a pattern an event is all lines up to the next that fits", () => {
  const begins = ({ text }: { text: Buffer }) => text.toString().startsWith("[");
  const entries = [line("tail"), line("[1"), line("  at x"), line("[2"), line("  at y")];
  const first = eventsOf(entries, { flush: false, begins });
  assert.deepEqual(
    [first.events.map(({ message }) => message), first.taken],
    [["tail\n", "[1\n  at x\n"], 3],
  );
  const rest = eventsOf(entries.slice(first.taken), { flush: true, begins });
  assert.deepEqual([rest.events.map(({ message }) => message), rest.taken], [["[2\n  at y\n"], 2]);
});

test("an event that is too large is cut between characters", () => {
  const text = "é".repeat(EVENT_BYTES_MAX);
  const { events, taken } = eventsOf([line(text)], { flush: true });
  assert.equal(taken, 1);
  assert.equal(events.map(({ message }) => message).join(""), text);
  assert.ok(events.every(({ message }) => Buffer.byteLength(message) <= EVENT_BYTES_MAX));
});

test("a call holds what the service takes, in order of time", () => {
  const event = (timestamp: number, bytes = 1) => ({ timestamp, message: "x".repeat(bytes) });
  const times = oneCall([event(2), event(1), event(3)]).map(({ timestamp }) => timestamp);
  assert.deepEqual(times, [1, 2, 3]);
  const day = 24 * 60 * 60 * 1000;
  assert.equal(oneCall([event(0), event(day - 1), event(day)]).length, 2);
  assert.equal(oneCall(Array.from({ length: 10_001 }, () => event(0))).length, 10_000);
  assert.equal(oneCall(Array.from({ length: 5 }, () => event(0, 262_118))).length, 4);
});

test("a format of dates is a pattern", () => {
  const pattern = new RegExp(datetimePattern("[%b %d, %Y %H:%M:%S]".replace(/[[\]]/g, "\\$&")));
  assert.match("x [Feb 28, 2026 23:59:01] y", pattern);
  assert.doesNotMatch("[Foo 28, 2026 23:59:01]", pattern);
});

test("fields of the journal have the names and the form that journald takes", () => {
  assert.deepEqual(["com.foo-1", "_x", "é"].map(journalFieldName), ["COM_FOO_1", "X", ""]);
  const plain = journalEntry({ PRIORITY: "6", "": "lost" }, Buffer.from("hi"));
  assert.equal(plain.toString(), "MESSAGE=hi\nPRIORITY=6\n");
  const lines = journalEntry({ A: "b\nc" }, Buffer.from("hi"));
  const length = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(
    lines,
    Buffer.concat([Buffer.from("MESSAGE=hi\nA\n"), length, Buffer.from("b\nc\n")]),
  );
});
