import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePressure, parseUsage } from "./cgroup-usage.ts";

const from =
  (contents: Record<string, string>) =>
  (_: string, file: string): string =>
    contents[file] ?? "";

test("the files of v2 give use, limits and pressure", () => {
  const usage = parseUsage(
    2,
    from({
      "cpu.max": "150000 100000\n",
      "cpu.stat": "usage_usec 2500\nthrottled_usec 7\n",
      "memory.current": "1000\n",
      "memory.max": "4096\n",
      "memory.stat": "anon 1\ninactive_file 200\n",
      "memory.events": "oom 1\noom_kill 2\n",
      "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n8:16 rbytes=5 wbytes=0\n",
      "pids.current": "3\n",
      "pids.max": "max\n",
      "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n",
    }),
  );
  assert.deepEqual(usage.Cpu, {
    ...{ UsageNanoseconds: 2_500_000, ThrottledNanoseconds: 7000, LimitCpus: 1.5, Weight: null },
  });
  assert.equal(usage.Memory.LimitBytes, 4096);
  assert.equal(usage.Memory.CacheBytes, 200);
  assert.equal(usage.Memory.OomKills, 2);
  assert.deepEqual(usage.Io, { ReadBytes: 15, WriteBytes: 20 });
  assert.deepEqual(usage.Pids, { Current: 3, Limit: null });
  assert.equal(usage.Pressure.Cpu?.SomePercent, 1.5);
});

test("the files of v1 give the same, and its largest number is no limit", () => {
  const usage = parseUsage(
    1,
    from({
      "cpu.cfs_quota_us": "-1\n",
      "cpu.cfs_period_us": "100000\n",
      "cpuacct.usage": "123\n",
      "memory.usage_in_bytes": "50\n",
      "memory.limit_in_bytes": "9223372036854771712\n",
      "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4\n8:0 Write 6\nTotal 10\n",
      "pids.current": "1\n",
      "pids.max": "100\n",
    }),
  );
  assert.equal(usage.Cpu.LimitCpus, null);
  assert.equal(usage.Cpu.UsageNanoseconds, 123);
  assert.equal(usage.Memory.LimitBytes, null);
  assert.deepEqual(usage.Io, { ReadBytes: 4, WriteBytes: 6 });
  assert.deepEqual(usage.Pids, { Current: 1, Limit: 100 });
});

test("what no file tells is null, not zero", () => {
  for (const version of [1, 2] as const) {
    const usage = parseUsage(version, () => "");
    assert.equal(usage.Cpu.UsageNanoseconds, null);
    assert.equal(usage.Memory.UsageBytes, null);
    assert.equal(usage.Pids.Current, null);
    assert.equal(usage.Pressure.Memory, null);
  }
  assert.equal(parsePressure("nonsense"), null);
});
