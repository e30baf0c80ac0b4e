import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import type { Plan } from "../native/index.ts";
import type { CommandContext } from "./command.ts";
import { start } from "./start.ts";
import type { ContainerState } from "./state-folder.ts";

test("a start lasts as long as the hooks that run in it may", async () => {
  const stat = await readFile("/proc/self/stat", "latin1");
  const startTicks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
  const deadlineOf = async (timeouts: (number | undefined)[]) => {
    const hooks = timeouts.map((timeout) => ({ path: "/h", ...(timeout && { timeout }) }));
    const state = { pid: process.pid, startTicks, cgroupPaths: {}, id: "c", bundle: "/b" };
    const spec = { ociVersion: "1.3.0", hooks: { startContainer: hooks } };
    const plans: Partial<Plan>[] = [];
    const context = {
      caller: {
        io: { env: {} },
        lock: async () => {},
        unlock: async () => {},
        run: async (plan: Partial<Plan>) => plans.push(plan),
      },
      folder: {
        folder: () => "/c",
        startSocket: () => "/c/start.sock",
        read: async (): Promise<Partial<ContainerState>> => ({ ...state, spec }),
        isWaiting: async () => true,
        forgetSocket: async () => {},
      },
    };
    await start(context as unknown as CommandContext, "c", { foreground: false });
    assert.equal(plans.length, 1);
    return plans[0]?.deadlineMs;
  };
  assert.equal(await deadlineOf([]), 30_000);
  assert.equal(await deadlineOf([100, 50]), 180_000);
  assert.equal(await deadlineOf([undefined]), 630_000);
  // The kernel's timers and the plan's field hold no more.
  assert.equal(await deadlineOf([2 ** 40]), 2 ** 31 - 1);
});
