// The fields of networks and endpoints through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { networkFieldScenarios } from "./scenarios/network-fields.ts";

describe("fields of networks through our own client", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  networkFieldScenarios(() => daemon);
});
