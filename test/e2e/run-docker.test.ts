// The scenarios of run through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { runScenarios } from "./scenarios/run.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("run through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  runScenarios(() => daemon);
});
