// The scenarios of lifecycle through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { lifecycleScenarios } from "./scenarios/lifecycle.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("lifecycle through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  lifecycleScenarios(() => daemon);
});
