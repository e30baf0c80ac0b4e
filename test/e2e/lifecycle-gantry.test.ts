// The scenarios of lifecycle through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { lifecycleScenarios } from "./scenarios/lifecycle.ts";

const skip = whyNoDaemon();

describe("lifecycle through our own client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  lifecycleScenarios(() => daemon);
});
