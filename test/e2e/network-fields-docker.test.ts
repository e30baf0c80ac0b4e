// The fields of networks and endpoints through the stock client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { networkFieldScenarios } from "./scenarios/network-fields.ts";

describe("fields of networks through the stock client", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  networkFieldScenarios(() => daemon);
});
