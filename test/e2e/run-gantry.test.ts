// The scenarios of run through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { runScenarios } from "./scenarios/run.ts";

const skip = whyNoDaemon();

describe("run through our own client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  runScenarios(() => daemon);
});
