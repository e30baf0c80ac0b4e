// The scenarios of a terminal through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { terminalScenarios } from "./scenarios/terminal.ts";

const skip = whyNoDaemon();

describe("a terminal through our own client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  terminalScenarios(() => daemon);
});
