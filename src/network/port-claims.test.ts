import assert from "node:assert/strict";
import { test } from "node:test";
import { adviceOf } from "../base/index.ts";
import type { PublishRequest } from "./contract.ts";
import { type Binder, PortClaims } from "./port-claims.ts";
import type { HeldPort } from "./port-holder.ts";
import { listeningInodes } from "./port-owner.ts";

const request = (more: Partial<PublishRequest> = {}): PublishRequest => ({
  containerPort: 80,
  protocol: "tcp",
  hostIp: "",
  hostPort: 8080,
  hostPortEnd: 8080,
  ...more,
});
const claimant = { endpointId: "e1", container: "web", ipv4: "172.17.0.2" };
const rules = {
  defaultHostIp: "",
  ipv6: true,
  crosses: true,
  range: { first: 40000, last: 40003 },
};

/** Binds like a kernel on which some addresses are taken. */
function fakeHolder(refuse: (port: HeldPort) => string | undefined) {
  const bound: HeldPort[] = [];
  const holder: Binder = {
    bind: async (port) => {
      const errno = refuse(port);
      const taken = bound.some(({ ip, port: p }) => ip === port.ip && p === port.port);
      if (!errno && !taken) bound.push(port);
      return errno ?? (taken ? "EADDRINUSE" : undefined);
    },
    unbind: async (key, one) => {
      const keep = bound.filter(
        (b) => b.key !== key || (one && (b.ip !== one.ip || b.port !== one.port)),
      );
      const count = bound.length - keep.length;
      bound.splice(0, bound.length, ...keep);
      return count;
    },
  };
  return { holder, bound };
}

test("a port without an address is bound for both families, on one number", async () => {
  const { holder, bound } = fakeHolder(({ port, ip }) =>
    port === 40000 && ip === "::" ? "EADDRINUSE" : undefined,
  );
  const claims = new PortClaims(rules);
  const ports = await claims.claim(holder, claimant, [request({ hostPort: 0, hostPortEnd: 0 })]);
  assert.deepEqual(
    ports.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`),
    ["0.0.0.0 40001", ":: 40001"],
  );
  assert.equal(bound.length, 2, "the half that could be bound is let go");
  assert.deepEqual(bound[1]?.target, { ip: "172.17.0.2", port: 80 }, "IPv6 is carried to IPv4");
});

test("a host without IPv6 publishes for IPv4 alone, unless IPv6 was asked for", async () => {
  const { holder } = fakeHolder(({ ip }) => (ip.includes(":") ? "EAFNOSUPPORT" : undefined));
  const claims = new PortClaims(rules);
  assert.equal((await claims.claim(holder, claimant, [request()])).length, 1);
  await assert.rejects(claims.claim(holder, claimant, [request({ hostIp: "::1", hostPort: 1 })]), {
    message: /failed to bind host port for \[::1\]:1:172\.17\.0\.2:80\/tcp: address family not/,
  });
});

test("all ports are claimed or none", async () => {
  const { holder, bound } = fakeHolder(({ port }) => (port === 81 ? "EACCES" : undefined));
  const claims = new PortClaims(rules);
  const requests = [request(), request({ hostPort: 81, hostPortEnd: 81 })];
  await assert.rejects(claims.claim(holder, claimant, requests), {
    kind: "conflict",
    message: /failed to bind host port for 0\.0\.0\.0:81:172\.17\.0\.2:80\/tcp: permission denied$/,
  });
  assert.deepEqual(bound, []);
  assert.equal((await claims.claim(holder, claimant, [request()])).length, 2);
});

test("an exhausted range names the last port and its owner", async () => {
  const { holder } = fakeHolder(() => undefined);
  const claims = new PortClaims({ ...rules, ipv6: false });
  const range = request({ hostPort: 9000, hostPortEnd: 9001 });
  for (const endpointId of ["a", "b"]) {
    await claims.claim(holder, { ...claimant, endpointId, container: endpointId }, [range]);
  }
  const refused = claims.claim(holder, { ...claimant, endpointId: "c" }, [range]);
  await assert.rejects(refused, (error: Error) => {
    assert.equal(
      error.message,
      "driver failed programming external connectivity on endpoint web (c): Bind for " +
        "0.0.0.0:9001 failed: port is already allocated",
    );
    assert.equal(adviceOf(error)?.cause, "container b has published it");
    return true;
  });
});

test("listening sockets are found in /proc/net", () => {
  const text = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1",
    "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1",
  ].join("\n");
  assert.deepEqual(listeningInodes(text, "tcp", 8080), ["4711"]);
  assert.deepEqual(listeningInodes(text, "tcp", 80), []);
});
