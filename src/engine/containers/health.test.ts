import assert from "node:assert/strict";
import { test } from "node:test";
import {
  healthTimings,
  limitOutput,
  probeDelayMs,
  unhealthyReaction,
  withResult,
} from "./health-rules.ts";
import { parseReply } from "./health-servers.ts";
import { healthTarget } from "./health-target.ts";
import type { HealthFacts } from "./record.ts";

const MS = 1e6;
const target = (...Test: string[]) => healthTarget({ Test }, null);

test("a probe is run as it is, or by the shell", () => {
  assert.deepEqual(target("CMD", "a", "b"), { kind: "command", command: ["a", "b"] });
  assert.deepEqual(target("CMD-SHELL", "a b"), {
    kind: "command",
    command: ["/bin/sh", "-c", "a b"],
  });
  assert.deepEqual(healthTarget({ Test: ["CMD-SHELL", "x"] }, ["/bin/ash"]), {
    kind: "command",
    command: ["/bin/ash", "x"],
  });
  for (const Test of [[], ["NONE"], ["NONE", "x"], ["CMD"]]) {
    assert.equal(target(...Test), undefined);
  }
});

test("a URL or a port is asked without a process, also where it is said as a command", () => {
  const http = {
    kind: "http",
    addresses: ["127.0.0.1", "::1"],
    port: 8080,
    authority: "localhost:8080",
    path: "/health?deep=1",
    method: "GET",
    headers: [],
  };
  for (const url of ["http://:8080/health?deep=1", "http::8080/health?deep=1"]) {
    assert.deepEqual(target("HTTP", url), http);
    assert.deepEqual(target("CMD-SHELL", url), http);
  }
  assert.deepEqual(target("HTTP", "http://[::1]/", "status=200-204,301", "method=HEAD"), {
    ...http,
    addresses: ["::1"],
    port: 80,
    authority: "[::1]",
    path: "/",
    method: "HEAD",
    statuses: [
      [200, 204],
      [301, 301],
    ],
  });
  const tcp = { kind: "tcp", addresses: ["10.0.0.1"], port: 5432, authority: "10.0.0.1:5432" };
  assert.deepEqual(target("TCP", "10.0.0.1:5432"), tcp);
  assert.deepEqual(target("CMD-SHELL", "tcp://10.0.0.1:5432"), tcp);
});

test("a check that cannot be made is refused", () => {
  for (const [words, why] of [
    [["HTTP", "https://:8443/"], /https is not supported/],
    [["HTTP", "http://example.com/"], /names are not looked up/],
    [["HTTP", "http://:0/"], /0 is no port/],
    [["HTTP", "http://:80/\r\nX: y"], /characters that a URL cannot have/],
    [["HTTP", "http://:80/", "header=X: a\r\nY: b"], /is no header/],
    [["HTTP", "http://:80/", "status=99"], /is no status/],
    [["HTTP", "http://:80/", "verbose"], /unknown option/],
    [["TCP", "localhost"], /needs a port/],
    [["TCP", ":70000"], /70000 is no port/],
    [["CMD-SHELL", "tcp:nobody:1"], /names are not looked up/],
  ] as const) {
    assert.throws(() => target(...words), why);
  }
});

test("failures count after the start period, and so many in a row are unhealthy", () => {
  const timings = healthTimings({
    StartPeriod: 10_000 * MS,
    StartInterval: 100 * MS,
    Interval: 2000 * MS,
    Retries: 2,
  });
  const startedAt = "2026-01-01T00:00:00.000000000Z";
  const at = (second: string, ExitCode: number) => ({
    Start: `2026-01-01T00:00:${second}Z`,
    End: `2026-01-01T00:00:${second}Z`,
    ExitCode,
    Output: "",
  });
  let health: HealthFacts = { status: "starting", failingStreak: 0, log: [] };
  const take = (result: ReturnType<typeof at>) => {
    health = withResult(health, result, { startedAt, timings });
    return [health.status, health.failingStreak];
  };
  assert.equal(probeDelayMs("starting", 500, timings), 100);
  assert.deepEqual(take(at("01", 1)), ["starting", 0]);
  assert.deepEqual(take(at("11", 1)), ["starting", 1]);
  assert.equal(probeDelayMs("starting", 11_000, timings), 2000);
  assert.deepEqual(take(at("12", 0)), ["healthy", 0]);
  assert.equal(probeDelayMs("healthy", 500, timings), 2000);
  assert.deepEqual(take(at("13", 2)), ["healthy", 1]);
  assert.deepEqual(take(at("14", -1)), ["unhealthy", 2]);
  assert.deepEqual(take(at("15", 1)), ["unhealthy", 3]);
  assert.deepEqual(
    health.log.map(({ ExitCode }) => ExitCode),
    [1, 0, 2, -1, 1],
  );
});

test("an interval longer than any timer is as long as a timer can be", () => {
  const century = 100 * 365 * 24 * 3600 * 1000 * MS;
  const timings = healthTimings({ Interval: century, Timeout: century, StartInterval: century });
  const { intervalMs, timeoutMs, startIntervalMs } = timings;
  for (const ms of [intervalMs, timeoutMs, startIntervalMs]) assert.equal(ms, 2 ** 31 - 1);
});

test("a success during the start period ends it: failures count from then on", () => {
  const timings = healthTimings({ StartPeriod: 60_000 * MS, Retries: 1 });
  const result = { Start: "2026-01-01T00:00:01Z", End: "", ExitCode: 1, Output: "" };
  const startedAt = "2026-01-01T00:00:00Z";
  const after = withResult({ status: "healthy", failingStreak: 0, log: [] }, result, {
    startedAt,
    timings,
  });
  assert.equal(after.status, "unhealthy");
});

test("output of a probe is cut at docker's limit, and says so", () => {
  assert.equal(limitOutput(Buffer.alloc(4096, "a")).length, 4096);
  assert.equal(limitOutput(Buffer.alloc(4097, "a")), `${"a".repeat(4096)}...`);
});

test("what is done about an unhealthy container may be said by a label", () => {
  assert.equal(unhealthyReaction({}, {}), "none");
  const config = { Labels: { "gantry.on-unhealthy": "restart" } };
  assert.equal(unhealthyReaction(config, {}), "restart");
  assert.equal(unhealthyReaction(config, { OnUnhealthy: "stop" }), "stop");
  assert.throws(() => unhealthyReaction({}, { OnUnhealthy: "reboot" }), /invalid OnUnhealthy/);
});

test("an answer is read past interim ones and out of its chunks; what is no answer is none", () => {
  const read = (text: string) => parseReply(Buffer.from(text));
  const reply = read(
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
      "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
  );
  assert.deepEqual([reply?.status, reply?.body.toString()], [503, "hello world"]);
  assert.equal(read("HTTP/1.1 200 OK\r\nContent-"), undefined);
  assert.equal(read("SSH-2.0-OpenSSH_9.9\r\n\r\n"), undefined);
  assert.equal(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")?.body.length, 0);
});
