import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiVersion } from "../protocol/index.ts";
import { moveInterfaceSysctls } from "./interface-sysctls.ts";

const OPTION = "com.docker.network.endpoint.sysctls";
const martians = { "net.ipv4.conf.eth0.log_martians": "1" };

test("a sysctl of an interface is refused, and those of all, lo and the host's are not", () => {
  const now = new ApiVersion("1.46");
  assert.throws(() => moveInterfaceSysctls({ Sysctls: martians }, {}, now), {
    kind: "invalid",
    message:
      'interface specific sysctl setting "net.ipv4.conf.eth0.log_martians" must be supplied using ' +
      `driver option '${OPTION}'`,
  });
  const rest = { "net.ipv4.conf.all.x": "1", "net.ipv4.conf.lo.x": "1", "kernel.shmmax": "1" };
  assert.deepEqual(moveInterfaceSysctls({ Sysctls: rest }, {}, now), []);
  assert.deepEqual(moveInterfaceSysctls({ NetworkMode: "host", Sysctls: martians }, {}, now), []);
});

test("an older client's sysctls of eth0 become an option of the main endpoint", () => {
  const old = new ApiVersion("1.45");
  const host = { NetworkMode: "one", Sysctls: { ...martians, "kernel.shmmax": "1" } };
  const endpoints = { one: { DriverOpts: { [OPTION]: "a=b", x: "y" } }, two: {} };
  assert.deepEqual(moveInterfaceSysctls(host, endpoints, old), [
    'Migrated sysctl "net.ipv4.conf.eth0.log_martians" to ' +
      `DriverOpts{"${OPTION}":"net.ipv4.conf.IFNAME.log_martians=1"}.`,
  ]);
  assert.deepEqual(host.Sysctls, { "kernel.shmmax": "1" });
  assert.deepEqual(endpoints, {
    one: { DriverOpts: { [OPTION]: "a=b,net.ipv4.conf.IFNAME.log_martians=1", x: "y" } },
    two: {},
  });
  assert.throws(() => moveInterfaceSysctls({ Sysctls: { "net.ipv4.conf.eth1.x": "1" } }, {}, old), {
    kind: "invalid",
    message:
      /^unable to determine network endpoint for sysctl net\.ipv4\.conf\.eth1\.x, use driver/,
  });
});
