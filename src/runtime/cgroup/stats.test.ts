import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetDev, parseStatsV1, parseStatsV2 } from "./stats.ts";

const host = {
  procStat: "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3\n",
  memoryTotalBytes: 1000,
  onlineCpus: 2,
};
const from = (contents: Record<string, string>) => (_: string, file: string) =>
  contents[file] ?? "";

test("v1 files become Docker's members", () => {
  const stats = parseStatsV1(
    from({
      "cpuacct.usage_percpu": "100 23 \n",
      "cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 7\n",
      "memory.usage_in_bytes": "500\n",
      "memory.limit_in_bytes": "9223372036854771712\n",
      "memory.stat": "cache 1\nrss 2\n",
      "pids.current": "3\n",
      "pids.max": "max\n",
      "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 1\nTotal 4097\n",
    }),
    host,
  );
  assert.equal(stats.cpu_stats.cpu_usage.total_usage, 123);
  assert.deepEqual(stats.cpu_stats.cpu_usage.percpu_usage, [100, 23]);
  assert.equal(stats.cpu_stats.system_cpu_usage, 280 * 10_000_000);
  assert.deepEqual(stats.cpu_stats.throttling_data, {
    periods: 5,
    throttled_periods: 2,
    throttled_time: 7,
  });
  assert.equal(stats.memory_stats.limit, 1000);
  assert.deepEqual(stats.memory_stats.stats, { cache: 1, rss: 2 });
  assert.deepEqual(stats.pids_stats, { current: 3 });
  assert.deepEqual(stats.blkio_stats.io_service_bytes_recursive?.[0], {
    major: 8,
    minor: 0,
    op: "Read",
    value: 4096,
  });
  assert.deepEqual(stats.blkio_stats.io_serviced_recursive, []);
});

test("v2 files become the same members, in nanoseconds", () => {
  const stats = parseStatsV2(
    from({
      "cpu.stat": "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_throttled 1\nthrottled_usec 2\n",
      "memory.current": "500\n",
      "memory.max": "600\n",
      "pids.current": "3\n",
      "pids.max": "10\n",
      "io.stat": "8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n",
    }),
    host,
  );
  assert.equal(stats.cpu_stats.cpu_usage.total_usage, 9000);
  assert.equal(stats.cpu_stats.throttling_data.throttled_time, 2000);
  assert.equal(stats.memory_stats.limit, 600);
  assert.deepEqual(stats.pids_stats, { current: 3, limit: 10 });
  assert.deepEqual(
    stats.blkio_stats.io_serviced_recursive?.map(({ op, value }) => `${op} ${value}`),
    ["read 2", "write 3"],
  );
});

test("interfaces are counted without the loopback", () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:       1       1    0    0    0     0          0         0        1       1    0    0 0 0 0 0
  eth0:    1000       9    1    2    0     0          0         0     2000       8    3    4 0 0 0 0
`;
  assert.deepEqual(parseNetDev(text), {
    eth0: {
      rx_bytes: 1000,
      rx_packets: 9,
      rx_errors: 1,
      rx_dropped: 2,
      tx_bytes: 2000,
      tx_packets: 8,
      tx_errors: 3,
      tx_dropped: 4,
    },
  });
});
