// The scenarios of files and figures through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { fileScenarios } from "./scenarios/files.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("files and figures through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  fileScenarios(() => daemon);
});
