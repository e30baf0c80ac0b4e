// The daemon as a program of its own, over the fake engine: for tests of flags, files, sockets and
// signals. Its arguments are those of `gantry daemon`.

import { runDaemon } from "../../src/daemon/index.ts";
import type { RunningEngine } from "../../src/engine/index.ts";
import { fakeEngine } from "./engine.ts";

process.exitCode = await runDaemon(process.argv.slice(2), {
  makeEngine: async (options, _network, log) => {
    const { engine, answers } = fakeEngine();
    if (process.env["GANTRY_FAKE_TROUBLE"]) {
      process.kill(process.pid, "SIGHUP");
      void Promise.reject(new Error("nobody waits for this"));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    answers.set("system.info", async () => ({ Labels: options.labels, Debug: options.debug }));
    const close = async (): Promise<void> => log.info("fake engine closed");
    const nobody = {
      isActive: () => false,
      validate: async () => {},
      request: async () => {},
      answer: async () => {},
    };
    const rest = { authorization: nobody, close, reconfigure: () => {}, diagnose: () => ({}) };
    return { ...engine, ...rest } as RunningEngine;
  },
});
process.exit();
