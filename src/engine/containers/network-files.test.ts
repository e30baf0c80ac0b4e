import assert from "node:assert/strict";
import { test } from "node:test";
import { hostsFile, resolvConfFile } from "./network-files.ts";
import { parsePort, publishRequests } from "./publish-requests.ts";

test("hosts names the container by its address after extra hosts", () => {
  const text = hostsFile({
    hostname: "box",
    domainname: "example.org",
    addresses: ["172.17.0.2"],
    extraHosts: ["db:10.0.0.5", "gw:host-gateway", "six=[::5]"],
    hostGateways: ["172.17.0.1"],
  });
  assert.deepEqual(text.trimEnd().split("\n").slice(-4), [
    "10.0.0.5\tdb",
    "172.17.0.1\tgw",
    "::5\tsix",
    "172.17.0.2\tbox.example.org box",
  ]);
  assert.match(text, /^127\.0\.0\.1\tlocalhost\n::1\tlocalhost/);
});

const resolv = { servers: [], search: [], options: [], sharesHostNetwork: false };

test("servers on the host's loopback are left out, and replaced when none is left", () => {
  assert.equal(
    resolvConfFile({ ...resolv, host: "nameserver 127.0.0.1\nnameserver 9.9.9.9\nsearch a b\n" }),
    "nameserver 9.9.9.9\nsearch a b\n",
  );
  assert.match(resolvConfFile({ ...resolv, host: "nameserver ::1\n" }), /^nameserver 8\.8\.8\.8\n/);
});

test("own servers, domains and options replace the host's", () => {
  const text = resolvConfFile({
    host: "nameserver 9.9.9.9\nsearch a\noptions ndots:5\n",
    servers: ["1.1.1.1"],
    search: ["."],
    options: ["timeout:1"],
    sharesHostNetwork: false,
  });
  assert.equal(text, "nameserver 1.1.1.1\noptions timeout:1\n");
});

test("publishing understands ranges, protocols and -P", () => {
  const requests = publishRequests(
    { ExposedPorts: { "53/udp": {} } },
    {
      PublishAllPorts: true,
      PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8000-8010" }] },
    },
  );
  assert.deepEqual(requests, [
    { containerPort: 80, protocol: "tcp", hostIp: "127.0.0.1", hostPort: 8000, hostPortEnd: 8010 },
    { containerPort: 53, protocol: "udp", hostIp: "", hostPort: 0, hostPortEnd: 0 },
  ]);
  for (const bad of ["0/tcp", "70000/tcp", "x", "80/quic"]) {
    assert.throws(() => parsePort(bad), { kind: "invalid" });
  }
});
