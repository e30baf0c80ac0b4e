// Every single operation of a create-and-start plan is made to fail in turn: the start is refused,
// nothing of it is left in the kernel or on disk, and the container can be started afterwards.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "../../src/base/index.ts";
import { libraryOptions } from "../../src/daemon/library-options.ts";
import { createEngine } from "../../src/daemon/wire-engine.ts";
import type { RunningEngine } from "../../src/engine/index.ts";
import type { Native, Plan, PlanHalf } from "../../src/native/index.ts";
import { EngineFixture, IMAGE, optionsFor } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";

type Failure = { half: PlanHalf; index: number } | undefined;

/** A native program that keeps the last create plan and fails where it is told to. */
class Saboteur {
  failure: Failure;
  plan: Plan | undefined;

  wrap = (native: Native): Native => ({
    run: (plan, options) => native.run(plan, options),
    create: (plan, monitor, options) => {
      this.plan = plan;
      const sabotaged = this.failure ? { ...plan, failAt: this.failure } : plan;
      return native.create(sabotaged, monitor, options);
    },
    openStream: () => native.openStream(),
    close: () => native.close(),
  });
}

let fixture: EngineFixture;
let engine: RunningEngine;
const saboteur = new Saboteur();

before(async () => {
  fixture = await EngineFixture.make();
  await fixture.close();
  const { engine: options, network } = await libraryOptions(optionsFor(fixture.root));
  engine = await createEngine(options, network, silentLogger, { wrapNative: saboteur.wrap });
});
after(async () => {
  await engine.close();
  await fixture[Symbol.asyncDispose]();
});

const state = () =>
  kernelState({ cgroupParent: `gantry-test-${process.pid}`, marker: fixture.root });

/** Files of the container beside those that every start writes anew. */
async function files(id: string): Promise<string[]> {
  const names = await readdir(join(fixture.root, "data/containers", id));
  return names.filter((name) => !/^(hosts|hostname|resolv\.conf|.*-json\.log)$/.test(name)).sort();
}

test("whichever operation of a start fails, nothing is left and the next start works", async (t) => {
  const { containers } = engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["true"], User: "app" },
    hostConfig: {
      NetworkMode: "none",
      Binds: ["kept:/data", "/tmp:/mnt:ro"],
      Tmpfs: { "/scratch": "" },
      Memory: 64 << 20,
      PidsLimit: 50,
    },
  });
  const clean = await state();
  const onDisk = await files(id);
  saboteur.failure = { half: "host", index: 0 };
  await assert.rejects(containers.start(id));
  const plan = saboteur.plan!;
  for (const half of ["host", "container"] as const) {
    for (const [index, operation] of plan[half].entries()) {
      saboteur.failure = { half, index };
      const what = `${half} operation ${index}, ${operation.op}`;
      await assert.rejects(containers.start(id), `${what} did not fail the start`);
      assert.deepEqual(await state(), clean, `${what} left something in the kernel`);
      assert.deepEqual(await files(id), onDisk, `${what} left files`);
      const { state: shown } = await containers.inspect(id);
      assert.deepEqual([shown.Running, shown.Pid], [false, 0], what);
      assert.notEqual(shown.ExitCode, 0, what);
      assert.notEqual(shown.Error, "", what);
    }
  }
  t.diagnostic(`${plan.host.length + plan.container.length} operations failed in turn`);
  saboteur.failure = undefined;
  await startAndAwait(id);
  await containers.remove(id);
  await engine.volumes.remove("kept");
});

async function startAndAwait(id: string): Promise<void> {
  const { done } = await engine.containers.wait(id, "next-exit");
  await engine.containers.start(id);
  assert.equal((await done).exitCode, 0);
}
