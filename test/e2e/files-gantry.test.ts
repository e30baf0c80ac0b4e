// The scenarios of files and figures through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { fileScenarios } from "./scenarios/files.ts";

const skip = whyNoDaemon();

describe("files and figures through our own client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  fileScenarios(() => daemon);
});
