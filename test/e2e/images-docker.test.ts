// The scenarios of images through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { imageScenarios } from "./scenarios/images.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("images through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  imageScenarios(() => daemon);
});
