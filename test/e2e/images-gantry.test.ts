// The scenarios of images through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { imageScenarios } from "./scenarios/images.ts";

const skip = whyNoDaemon();

describe("images through our own client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  imageScenarios(() => daemon);
});
