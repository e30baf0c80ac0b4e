// Stands between the planners and the kernel: keeps the plan of the last start and makes one of its
// operations fail.

import assert from "node:assert/strict";
import type { RunningEngine } from "../../src/engine/index.ts";
import type { Native, Plan, PlanHalf } from "../../src/native/index.ts";

export class Saboteur {
  failure: { half: PlanHalf; index: number } | undefined;
  plan: Plan | undefined;

  wrap = (native: Native): Native => ({
    run: (plan, options) => native.run(plan, options),
    create: (plan, monitor, options) => {
      this.plan = plan;
      const sabotaged = this.failure ? { ...plan, failAt: this.failure } : plan;
      return native.create(sabotaged, monitor, options);
    },
    preparePool: async (parents) => native.preparePool?.(parents),
    openStream: () => native.openStream(),
    close: () => native.close(),
  });

  /** Starts the container once for every operation of its plan, which fails there, and compares
   * what `look` sees after each. Returns how many operations there were. */
  async failEach(engine: RunningEngine, id: string, look: () => Promise<unknown>): Promise<number> {
    const { containers } = engine;
    this.failure = { half: "host", index: 0 };
    await assert.rejects(containers.start(id));
    const plan = this.plan!;
    const clean = await look();
    for (const half of ["host", "container"] as const) {
      for (const [index, operation] of plan[half].entries()) {
        this.failure = { half, index };
        const what = `${half} operation ${index}, ${operation.op}`;
        await assert.rejects(containers.start(id), `${what} did not fail the start`);
        assert.deepEqual(await look(), clean, `${what} left something`);
        const { state } = await containers.inspect(id);
        assert.deepEqual([state.Running, state.Pid], [false, 0], what);
        assert.notEqual(state.ExitCode, 0, what);
        assert.notEqual(state.Error, "", what);
      }
    }
    this.failure = undefined;
    return plan.host.length + plan.container.length;
  }
}
