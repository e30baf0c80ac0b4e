// The scenarios of container features through our own client.

import { after, before, describe } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { containerFeatureScenarios, describeDevices } from "./scenarios/container-features.ts";

const skip = whyNoDaemon();

describe("container features through our own client", { skip }, () => {
  let daemon: TestDaemon;
  let devices: Awaited<ReturnType<typeof describeDevices>>;
  before(async () => {
    devices = await describeDevices();
    daemon = await startDaemon({ client: "gantry", args: ["--cdi-spec-dir", devices.path] });
  });
  after(async () => {
    await daemon.stop();
    await devices[Symbol.asyncDispose]();
  });
  containerFeatureScenarios(() => daemon);
});
