// gantry-runtime's update and events, seen in the container's cgroups.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { cgroupFolder, cgroupValue } from "../support/container-cgroups.ts";
import { within } from "../support/deadline.ts";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const MIB = 1 << 20;

describe("limits of a running container", { skip }, () => {
  let oci: OciFixture;
  let id: string;
  let pid: number;
  before(async () => {
    oci = await OciFixture.make();
    const made = await oci.bundle(["sleep"], (spec) => {
      spec.linux!.resources = { ...spec.linux!.resources, memory: { limit: 64 * MIB } };
    });
    id = made.id;
    await oci.detached("run", "-d", "-b", made.bundle, id);
    ({ pid } = await oci.state(id));
  });
  after(() => oci[Symbol.asyncDispose]());

  const memory = () =>
    cgroupValue(pid, "memory", { v1: "memory.limit_in_bytes", v2: "memory.max" });
  const pids = () => cgroupValue(pid, "pids", { v1: "pids.max", v2: "pids.max" });

  test(`each flag reaches its file ${proves("runc-cmd", "update", "update --memory", "update --memory-reservation", "update --pids-limit", "update --cpu-share", "update --cpu-period", "update --cpu-quota", "update --cpuset-cpus", "update --cpuset-mems", "update --cpu-idle")}`, async () => {
    await oci.ok("update", "--memory", "100M", "--memory-reservation", "50m", id);
    assert.equal(await memory(), String(100 * MIB));
    const soft = { v1: "memory.soft_limit_in_bytes", v2: "memory.low" };
    assert.equal(await cgroupValue(pid, "memory", soft), String(50 * MIB));
    await oci.ok("update", "--pids-limit", "55", "--cpu-share", "512", id);
    assert.equal(await pids(), "55");
    assert.match(
      await cgroupValue(pid, "cpu", { v1: "cpu.shares", v2: "cpu.weight" }),
      /^(512|\d\d)$/,
    );
    await oci.ok("update", "--cpu-period", "50000", "--cpu-quota", "25000", id);
    const quota = { v1: "cpu.cfs_quota_us", v2: "cpu.max" };
    assert.match(await cgroupValue(pid, "cpu", quota), /^25000( 50000)?$/);
    await oci.ok("update", "--cpuset-cpus", "0", "--cpuset-mems", "0", id);
    const cpus = { v1: "cpuset.cpus", v2: "cpuset.cpus" };
    assert.equal(await cgroupValue(pid, "cpuset", cpus), "0");
    await oci.ok("update", "--cpu-idle", "1", id);
    assert.equal(await cgroupValue(pid, "cpu", { v1: "cpu.idle", v2: "cpu.idle" }), "1");
    await oci.ok("update", "--memory", "-1", "--pids-limit", "-1", id);
    assert.match(await memory(), /^(max|92233720368547\d+)$/);
    assert.equal(await pids(), "max");
  });

  test(`a file or standard input says it all, and then no other flag counts ${proves("runc-cmd", "update --resources")}`, async () => {
    const path = oci.path("resources.json");
    await writeFile(path, JSON.stringify({ pids: { limit: 21 } }));
    await oci.ok("update", "--resources", path, "--pids-limit", "99", id);
    assert.equal(await pids(), "21");
    const child = oci.spawn(["update", "-r", "-", id]);
    child.stdin!.end(JSON.stringify({ pids: { limit: 22 }, memory: { limit: 80 * MIB } }));
    assert.equal((await resultOf(child)).code, 0);
    assert.deepEqual([await pids(), await memory()], ["22", String(80 * MIB)]);
  });

  test("what is refused changes nothing, also what stood before it", async () => {
    await oci.ok("update", "--pids-limit", "30", "--cpuset-cpus", "0", id);
    const resources = { cpu: { cpus: "4000" }, pids: { limit: 31 }, memory: { limit: 70 * MIB } };
    const path = oci.path("refused.json");
    await writeFile(path, JSON.stringify(resources));
    const before = [await pids(), await memory()];
    const result = await oci.call("update", "--resources", path, id);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /cpuset\.cpus/);
    assert.deepEqual([await pids(), await memory()], before);
  });

  test("values that are none are told of in runc's words", async () => {
    for (const [flag, value, why] of [
      ["--memory", "5x", "invalid value for memory: invalid size: '5x'"],
      ["--cpu-share", "abc", 'invalid value for cpu-share: strconv.ParseUint: parsing "abc"'],
      ["--cpu-quota", "1.5", 'invalid value for cpu-quota: strconv.ParseInt: parsing "1.5"'],
      ["--cpu-share", "-4", 'invalid value for cpu-share: strconv.ParseUint: parsing "-4"'],
      ["--pids-limit", "x", 'invalid value "x" for flag -pids-limit'],
      ["--l3-cache-schema", "L3:0=f", "Intel RDT/CAT: l3 cache schema is not enabled"],
      ["--mem-bw-schema", "MB:0=20", "Intel RDT/MBA: memory bandwidth schema is not enabled"],
      ["--resources", "/nonexistent", "open /nonexistent: no such file or directory"],
    ] as const) {
      const { code, stderr } = await oci.call("update", flag, value, id);
      assert.equal(code, 1);
      assert.ok(stderr.replaceAll('\\"', '"').includes(why), stderr);
    }
    const devices = oci.path("devices.json");
    await writeFile(devices, JSON.stringify({ devices: [{ allow: true, access: "rwm" }] }));
    const { stderr } = await oci.call("update", "-r", devices, id);
    assert.match(stderr, /device rules of a container cannot be changed/);
  });

  test(`the class of a container gets other shares of cache and bandwidth ${proves("runc-cmd", "update --l3-cache-schema", "update --mem-bw-schema")}`, async () => {
    // No machine that tests run on has the hardware: a folder stands in for the class of one.
    const own = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", own.bundle, own.id);
    try {
      const folder = oci.path("class");
      const schemata = join(folder, "schemata");
      await mkdir(folder);
      await writeFile(schemata, "");
      const path = join(oci.root, own.id, "state.json");
      const state = JSON.parse(await readFile(path, "utf8"));
      const rdt = { tasks: [join(folder, "tasks")], made: [] };
      await writeFile(path, JSON.stringify({ ...state, rdt }));
      for (const [flag, line] of [
        ["--l3-cache-schema", "L3:0=00f;1=0ff"],
        ["--mem-bw-schema", "MB:0=20;1=70"],
      ] as const) {
        await oci.ok("update", flag, line, own.id);
        assert.equal(await readFile(schemata, "utf8"), `${line}\n`);
        await truncate(schemata);
      }
      const { stderr } = await oci.call("update", "--mem-bw-schema", "L3:0=f", own.id);
      assert.match(stderr, /invalid intelRdt.memBwSchema/);
      assert.equal(await readFile(schemata, "utf8"), "");
    } finally {
      await oci.ok("delete", "-f", own.id);
    }
  });

  test(`events --stats tells what the kernel counts, digit by digit ${proves("runc-cmd", "events --stats")}`, async () => {
    await oci.ok("update", "--memory", "-1", "--pids-limit", "77", id);
    const text = await oci.ok("events", "--stats", id);
    const { type, id: of, data } = JSON.parse(text);
    assert.deepEqual([type, of], ["stats", id]);
    assert.deepEqual(data.pids, { current: 1, limit: 77 });
    const limit = await memory();
    assert.ok(
      text.includes(`"usage":{"limit":${limit === "max" ? "18446744073709551615" : limit},`),
    );
    assert.ok(data.memory.usage.usage > 0 && data.memory.raw.pgfault > 0);
    assert.ok(data.cpu.usage.total > 0);
    assert.deepEqual([data.cpuset.cpus, data.intel_rdt, data.network_interfaces], [[0], {}, null]);
  });

  test(`events streams numbers and out-of-memory, and ends with the container ${proves("runc-cmd", "events", "events --interval")}`, async () => {
    const eater = await oci.bundle(["eof"], (spec) => {
      spec.linux!.resources = {
        ...spec.linux!.resources,
        memory: { limit: 16 * MIB, swap: 16 * MIB },
      };
    });
    const fed = oci.spawn(["run", "-b", eater.bundle, eater.id]);
    const over = resultOf(fed);
    const isRunning = async () => (await oci.call("state", eater.id)).stdout.includes('"running"');
    while (!(await isRunning())) await new Promise((resolve) => setImmediate(resolve));
    const child = oci.spawn(["events", "--interval", "20ms", eater.id]);
    const streamed = resultOf(child);
    const seen = new Set<string>();
    const both = Promise.withResolvers<void>();
    createInterface({ input: child.stdout! }).on("line", (line) => {
      seen.add(JSON.parse(line).type);
      if (seen.has("oom") && seen.has("stats")) both.resolve();
    });
    const first = await oci.state(eater.id);
    await once(child.stdout!, "data");
    assert.equal((await oci.call("exec", eater.id, "eat", "64")).code, 137);
    await within(() => `both kinds of events, not only ${[...seen]}`, both.promise);
    // The kernel counted it too.
    const oom = { v1: "memory.oom_control", v2: "memory.events" };
    assert.match(await cgroupValue(first.pid, "memory", oom), /^oom_kill [1-9]/m);
    fed.stdin!.end();
    assert.equal((await over).code, 0);
    assert.equal((await within(() => "the end of the events", streamed)).code, 0);
  });

  test("the new limits are the container's own: they are kept for the next update", async () => {
    await oci.ok("update", "--memory", "90M", id);
    const state = JSON.parse(await readFile(join(oci.root, id, "state.json"), "utf8"));
    assert.equal(state.spec.linux.resources.memory.limit, 90 * MIB);
    assert.match(await cgroupFolder(pid, "memory"), new RegExp(id));
    for (const arguments_ of [
      ["events", "--interval", "0s"],
      ["events", "--interval", "soon"],
    ]) {
      assert.match((await oci.call(...arguments_, id)).stderr, /interval/);
    }
  });
});
