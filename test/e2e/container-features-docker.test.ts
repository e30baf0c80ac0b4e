// The scenarios of container features through the stock docker client.

import { after, before, describe } from "node:test";
import { dockerPath, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { containerFeatureScenarios, describeDevices } from "./scenarios/container-features.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("container features through the stock docker client", { skip }, () => {
  let daemon: TestDaemon;
  let devices: Awaited<ReturnType<typeof describeDevices>>;
  before(async () => {
    devices = await describeDevices();
    daemon = await startDaemon({ client: "docker", args: ["--cdi-spec-dir", devices.path] });
  });
  after(async () => {
    await daemon.stop();
    await devices[Symbol.asyncDispose]();
  });
  containerFeatureScenarios(() => daemon);
});
