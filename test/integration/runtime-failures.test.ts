// Every single operation of a create plan is made to fail in turn; whatever fails, no cgroup,
// mount, process or file is left, and the error names the operation.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { after, test } from "node:test";
import type { GantryError } from "../../src/base/index.ts";
import type { PlanHalf } from "../../src/native/index.ts";
import { RuntimeFixture } from "../support/runtime-fixture.ts";

const runtime = await RuntimeFixture.make();
after(() => runtime[Symbol.asyncDispose]());

const mountsOf = async () => (await readFile("/proc/self/mountinfo", "utf8")).split("\n").length;
const monitorsOf = async () =>
  (await readdir(runtime.native.root)).filter((name) => name.endsWith(".sock"));

for (const [title, options] of [
  ["a container with pipes", { host: { SecurityOpt: ["no-new-privileges"] } }],
  ["a container with a terminal", { config: { Tty: true }, host: { CgroupnsMode: "private" } }],
] as const) {
  test(`${title} leaves nothing, whatever fails`, async () => {
    const mounts = await mountsOf();
    const { plan } = runtime.plan("count", ["true"], structuredClone(options) as never)[1];
    let tried = 0;
    for (const half of ["host", "container"] satisfies PlanHalf[]) {
      for (let index = 0; index < plan[half].length; index++) {
        const id = `f${process.pid}-${half}-${index}`;
        const [, planned] = runtime.plan(id, ["true"], structuredClone(options) as never);
        const failing = { ...planned.plan, failAt: { half, index } };
        const { spawner } = runtime.native;
        await assert.rejects(spawner.create(failing, planned.monitor), (error: GantryError) => {
          const wanted = `${half} ${index} ${plan[half][index]!.op}`;
          const operation = error.detail["operation"] as { op?: string } | undefined;
          assert.equal(`${error.detail["half"]} ${error.detail["index"]} ${operation?.op}`, wanted);
          assert.deepEqual(error.detail["teardown"], [], wanted);
          return true;
        });
        for (const path of Object.values(planned.cgroupPaths)) {
          assert.equal(existsSync(path), false, `${half} ${index}: ${path} is left`);
        }
        tried++;
      }
    }
    assert.ok(tried > 100, `${tried} operations`);
    assert.equal(await mountsOf(), mounts);
    assert.deepEqual(await monitorsOf(), []);
  });
}
