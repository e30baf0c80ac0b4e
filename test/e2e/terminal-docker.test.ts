// The scenarios of a terminal through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { terminalScenarios } from "./scenarios/terminal.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("a terminal through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  terminalScenarios(() => daemon);
});
