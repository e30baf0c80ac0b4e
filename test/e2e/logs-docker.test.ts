// The scenarios of logs through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { logScenarios } from "./scenarios/logs.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("logs through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  logScenarios(() => daemon);
});
