import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointOptions } from "./endpoint-options.ts";

const IFNAME = "com.docker.network.endpoint.ifname";
const SYSCTLS = "com.docker.network.endpoint.sysctls";

test("an endpoint's options are understood in the letters of the client's making", () => {
  const options = endpointOptions({
    IPAMConfig: { LinkLocalIPs: ["169.254.34.68", "fe80::5"] },
    DriverOpts: {
      [IFNAME]: "wan0",
      [SYSCTLS]: "net.ipv4.conf.ifname.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0",
      other: "x",
    },
  });
  assert.deepEqual(options, {
    interfaceName: "wan0",
    sysctls: {
      "net/ipv4/conf/IFNAME/log_martians": "1",
      "net/ipv6/conf/IFNAME/accept_ra": "0",
    },
    linkLocal: [
      { address: "169.254.34.68", prefix: 16 },
      { address: "fe80::5", prefix: 64 },
    ],
    unknown: ["other"],
  });
  assert.deepEqual(endpointOptions({}), { sysctls: {}, linkLocal: [], unknown: [] });
});

test("all that is wrong with them is said at once", () => {
  const settings = {
    IPAMConfig: { LinkLocalIPs: ["10.0.0.1"] },
    DriverOpts: {
      [IFNAME]: "much-too-long-for-a-name",
      [SYSCTLS]: "net.ipv4.conf.eth0.log_martians=1,kernel.shmmax=1,net.ipv4.conf.IFNAME.a/../b=1",
    },
  };
  assert.throws(() => endpointOptions(settings), {
    kind: "invalid",
    message: new RegExp(
      "^invalid endpoint settings:\\ninvalid link-local IP address: 10\\.0\\.0\\.1\\n" +
        'invalid interface name "much-too-long-for-a-name" .*\\n' +
        "unrecognised network interface sysctl 'net\\.ipv4\\.conf\\.eth0[^]*kernel\\.shmmax[^]*a/\\.\\./b",
    ),
  });
});
