import assert from "node:assert/strict";
import { test } from "node:test";
import { hostsFile, resolvConfFile, upstreamServers } from "./network-files.ts";
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

const resolv = {
  path: "/etc/resolv.conf",
  servers: [],
  search: [],
  options: [],
  sharesHostNetwork: false,
};
/** Without the head, which is always the same. */
const written = (o: Parameters<typeof resolvConfFile>[0]) =>
  resolvConfFile(o).trimEnd().split("\n").slice(4);

test("servers on the host's loopback are left out, and replaced when none is left", () => {
  assert.deepEqual(
    written({ ...resolv, host: "nameserver 127.0.0.1\nnameserver 9.9.9.9\nsearch a b\n" }),
    [
      ...["nameserver 9.9.9.9", "search a b", ""],
      ...["# Based on host file: '/etc/resolv.conf' (legacy)", "# Overrides: []"],
    ],
  );
  assert.deepEqual(written({ ...resolv, host: "nameserver ::1\n" }), [
    ...["nameserver 8.8.8.8", "nameserver 8.8.4.4", ""],
    ...["# Based on host file: '/etc/resolv.conf' (legacy)", "# Used default nameservers."],
    "# Overrides: []",
  ]);
});

test("own servers, domains and options replace the host's", () => {
  const o = {
    ...resolv,
    host: "nameserver 9.9.9.9\nsearch a\noptions ndots:5\n",
    servers: ["1.1.1.1"],
    search: ["."],
    options: ["timeout:1"],
  };
  assert.deepEqual(written(o), [
    ...["nameserver 1.1.1.1", "options timeout:1", ""],
    "# Based on host file: '/etc/resolv.conf' (legacy)",
    "# Overrides: [nameservers search options]",
  ]);
});

test("with names of containers the file says whom the resolver asks, and from where", () => {
  const o = { ...resolv, resolver: "127.0.0.11", host: "nameserver 127.0.0.53\nnameserver ::5\n" };
  assert.deepEqual(written(o), [
    ...["nameserver 127.0.0.11", "options ndots:0", ""],
    "# Based on host file: '/etc/resolv.conf' (internal resolver)",
    ...["# ExtServers: [host(127.0.0.53) host(::5)]", "# Overrides: []"],
    "# Option ndots from: internal",
  ]);
  assert(written({ ...o, host: "" }).includes("# NO EXTERNAL NAMESERVERS DEFINED"));
  assert(written({ ...o, servers: ["1.1.1.1"] }).includes("# ExtServers: [1.1.1.1]"));
});

test("the host's servers are asked from the host, and a container's own from its namespace", () => {
  const host = "nameserver 10.0.0.5\nnameserver 127.0.0.53\nnameserver nonsense\n";
  assert.deepEqual(upstreamServers({ host, servers: [] }), ["10.0.0.5@host", "127.0.0.53@host"]);
  assert.deepEqual(upstreamServers({ host, servers: ["127.0.0.1"] }), ["127.0.0.1"]);
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
