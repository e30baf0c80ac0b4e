// Limits on cgroup v2 that are seen to act, and the figures that are told of them: what stats,
// /metrics and cgtop say is held against the kernel's files while the container is frozen.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { request } from "node:http";
import { test } from "node:test";
import { until } from "../../support/deadline.ts";
import { askApi } from "../../support/unix-api.ts";
import { DISK, DISK_MIB, type GuestDaemon, MIB, UNLOGGED } from "../containers.ts";

interface Group {
  Path: string;
  Cpu: { UsageNanoseconds: number; LimitCpus: number | null; Weight: number };
  Memory: { UsageBytes: number; LimitBytes: number | null; SwapBytes: number };
  Pids: { Current: number; Limit: number | null };
  Container?: { Id: string };
}

/** `metrics` is the socket of the daemon's metrics. */
export function acts(guest: GuestDaemon, metrics: string): void {
  test("over its memory a process is killed: exit code, state and event say so", async () => {
    const { dockerode } = guest.daemon;
    const id = await guest.start(["eat", "128"], { Memory: 32 * MIB, MemorySwap: 32 * MIB });
    const { code } = await guest.ended(id);
    assert.equal(code, 137);
    const { State } = await dockerode.getContainer(id).inspect();
    assert.equal(State.OOMKilled, true);
    const filters = JSON.stringify({ container: [id], event: ["oom"] });
    const stream = await dockerode.getEvents({ since: 0, until: Date.now() / 1000 + 1, filters });
    const first = await new Promise<string>((resolve, reject) => {
      stream.once("data", (data: Buffer) => resolve(data.toString()));
      stream.once("end", () => reject(new Error("No oom event")));
    });
    assert.equal(JSON.parse(first).Action, "oom");
    await guest.remove(id);
  });

  test("a kill of an exec alone is an oom event of a container that goes on", async () => {
    const id = await guest.start(["sleep", "100"], { Memory: 32 * MIB, MemorySwap: 32 * MIB });
    assert.equal((await guest.exec(id, "eat", "128")).code, 137);
    assert.ok((await guest.count(id, "memory.events", "oom_kill")) > 0);
    const { State } = await guest.daemon.dockerode.getContainer(id).inspect();
    assert.equal(State.Running, true);
    await guest.remove(id);
  });

  test("with swap allowed it lives on, and swap is what it took", async () => {
    const id = await guest.start(["seq", "eat 28", "sleep 100"], {
      ...{ Memory: 20 * MIB, MemorySwap: 36 * MIB },
    });
    await until("swap in use", async () => Number(await guest.read(id, "memory.swap.current")) > 0);
    assert.equal(await guest.count(id, "memory.events", "oom_kill"), 0);
    await guest.remove(id);
  });

  test("cpu.max throttles, and stats count it", async () => {
    const id = await guest.start(["seq", "write /a x", "write /b x", "flip /a /b"], {
      NanoCpus: 0.1e9,
    });
    const container = guest.daemon.dockerode.getContainer(id);
    await until("throttled periods", async () => {
      const { cpu_stats } = await container.stats({ stream: false, "one-shot": true });
      const { throttled_periods, throttled_time } = cpu_stats.throttling_data;
      return throttled_periods > 2 && throttled_time > 0;
    });
    await guest.remove(id);
  });

  test("cpu.weight shares one processor out", async () => {
    const burn = (CpuShares: number) =>
      guest.start(["seq", "write /a x", "write /b x", "flip /a /b"], {
        CpuShares,
        CpusetCpus: "0",
      });
    const [light, heavy] = await Promise.all([burn(16), burn(16_384)]);
    const used = (id: string) => guest.count(id, "cpu.stat", "usage_usec");
    // From the moment that both are at it.
    await until(
      "both to run",
      async () => (await used(light)) > 1000 && (await used(heavy)) > 1000,
    );
    const [lightBefore, heavyBefore] = [await used(light), await used(heavy)];
    await until("a second of it", async () => (await used(heavy)) - heavyBefore > 1_000_000);
    const [a, b] = [(await used(light)) - lightBefore, (await used(heavy)) - heavyBefore];
    assert.ok(b > 3 * a, `${a} µs against ${b} µs`);
    await Promise.all([guest.remove(light), guest.remove(heavy)]);
  });

  test("the pids limit stops a fork bomb, and the cgroup counts it", async () => {
    const id = await guest.start(["seq", "bomb 50", "sleep 100"], { PidsLimit: 8 });
    await until("a refused fork", async () => (await guest.count(id, "pids.events", "max")) > 0);
    assert.equal(await guest.read(id, "pids.current"), "8");
    await guest.remove(id);
  });

  test("io.max slows a device down: so many bytes take at least their time", async () => {
    const seconds = 2;
    const Rate = Math.floor((DISK_MIB * MIB) / (seconds + 1));
    execFileSync("blockdev", ["--flushbufs", DISK]);
    const started = performance.now();
    const id = await guest.start(["cat", DISK], {
      ...UNLOGGED,
      Devices: [{ PathOnHost: DISK, PathInContainer: DISK, CgroupPermissions: "r" }],
      BlkioDeviceReadBps: [{ Path: DISK, Rate }],
    });
    assert.equal(await guest.exitCode(id), 0);
    await guest.remove(id);
    assert.ok(performance.now() - started >= seconds * 1000);
  });

  test("stats, metrics and cgtop tell what the kernel's files tell", async () => {
    const hostConfig = { Memory: 64 * MIB, MemorySwap: 64 * MIB, PidsLimit: 30, NanoCpus: 0.5e9 };
    const id = await guest.start(["seq", "fill /tmp/file 8", "sleep 100"], hostConfig);
    const container = guest.daemon.dockerode.getContainer(id);
    await until("the file", async () => Number(await guest.read(id, "memory.current")) > 8 * MIB);
    await container.pause();
    let stats = await container.stats({ stream: false, "one-shot": true });
    // The kernel adds up memory.stat now and then, and takes back late what a maker had charged.
    await until("counters at rest", async () => {
      stats = await container.stats({ stream: false, "one-shot": true });
      const { usage, stats: parts } = stats.memory_stats;
      return (
        usage === Number(await guest.read(id, "memory.current")) &&
        parts.inactive_file === (await guest.count(id, "memory.stat", "inactive_file"))
      );
    });
    const usage = await guest.count(id, "cpu.stat", "usage_usec");
    const memory = Number(await guest.read(id, "memory.current"));
    assert.equal(stats.cpu_stats.cpu_usage.total_usage, usage * 1000);
    assert.equal(stats.memory_stats.usage, memory);
    assert.equal(stats.memory_stats.limit, 64 * MIB);
    assert.deepEqual(stats.pids_stats, { current: 1, limit: 30 });
    assert.equal(stats.cpu_stats.online_cpus, 2);

    const { Groups } = await askApi<{ Groups: Group[] }>(guest.daemon.socket, "/gantry/cgroups");
    const group = Groups.find(({ Container }) => Container?.Id === id)!;
    assert.equal(group.Cpu.UsageNanoseconds, usage * 1000);
    assert.equal(group.Cpu.LimitCpus, 0.5);
    assert.equal(group.Memory.UsageBytes, memory);
    assert.equal(group.Memory.LimitBytes, 64 * MIB);
    assert.deepEqual([group.Pids.Current, group.Pids.Limit], [1, 30]);

    const text = await scrape(metrics);
    const metric = (name: string) => {
      const line = text
        .split("\n")
        .find((one) => one.startsWith(`${name}{`) && one.includes(id.slice(0, 12)));
      return Number(line?.split(" ").at(-1));
    };
    assert.equal(metric("container_memory_usage_bytes"), memory);
    assert.equal(Math.round(metric("container_cpu_usage_seconds_total") * 1e6), usage);
    assert.equal(metric("container_oom_events_total"), 0);
    await container.unpause();
    await guest.remove(id);
  });
}

function scrape(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: "/metrics" }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });
}
