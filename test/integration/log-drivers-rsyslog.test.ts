// The syslog driver against a real rsyslog: over TCP, over TLS, and through a unix datagram socket
// as /dev/log is one, also when rsyslog is started anew while lines flow.

import assert from "node:assert/strict";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeCertificate } from "../support/certificates.ts";
import { Rsyslog, whyNoRsyslog } from "../support/rsyslog.ts";
import { CONTAINER_ID, numbered, ship } from "../support/shipping.ts";

const skip = whyNoRsyslog();
const SHORT_ID = CONTAINER_ID.slice(0, 12);
const authority = makeCertificate({ commonName: "authority", authority: true });
const server = makeCertificate({
  commonName: "localhost",
  issuer: authority,
  addresses: ["127.0.0.1"],
});
const make = () => Rsyslog.make({ authority, server });

for (const [format, fields] of [
  ["rfc3164", { host: hostname().split(".")[0] }],
  ["rfc5424", { host: hostname() }],
  ["rfc5424micro", { host: hostname() }],
] as const) {
  test(`rsyslog understands ${format}`, { skip }, async () => {
    await using rsyslog = await make();
    const port = await rsyslog.start({ tls: false });
    await using shipping = await ship("syslog", {
      "syslog-address": `tcp://127.0.0.1:${port}`,
      "syslog-format": format,
      "syslog-facility": "local1",
    });
    shipping.log.write("one", { stream: "stderr", text: Buffer.from("two words") });
    await shipping.finish();
    const lines = await rsyslog.has(["one", "two words"]);
    const [one, two] = ["one", "two words"].map((text) => lines.find((line) => line.text === text));
    assert.deepEqual([one?.priority, two?.priority], [(17 << 3) | 6, (17 << 3) | 3]);
    assert.equal(one?.program, SHORT_ID);
    assert.equal(one?.pid, String(process.pid));
    assert.equal(one?.host.split(".")[0], fields.host?.split(".")[0]);
  });
}

test("rsyslog takes counted messages over TLS", { skip }, async () => {
  await using rsyslog = await make();
  const port = await rsyslog.start({ tls: true });
  await using shipping = await ship("syslog", {
    "syslog-address": `tcp+tls://127.0.0.1:${port}`,
    "syslog-format": "rfc5424",
    "syslog-tls-ca-cert": join(rsyslog.folder, "ca.pem"),
  });
  shipping.log.write(...numbered(0, 500));
  await shipping.finish();
  await rsyslog.has(numbered(0, 500));
});

test("rsyslog takes lines through a datagram socket", { skip }, async () => {
  await using rsyslog = await make();
  await rsyslog.start({ tls: false });
  await using shipping = await ship("syslog", { "syslog-address": `unixgram://${rsyslog.socket}` });
  shipping.log.write(...numbered(0, 2000));
  await shipping.finish();
  const lines = await rsyslog.has(numbered(0, 2000));
  assert.equal(lines.find(({ text }) => text === "line 7")?.program, SHORT_ID);
});

test("no line is lost when rsyslog is started anew", { skip }, async () => {
  await using rsyslog = await make();
  const port = await rsyslog.start({ tls: false });
  await using shipping = await ship("syslog", { "syslog-address": `tcp://127.0.0.1:${port}` });
  shipping.log.write(...numbered(0, 300));
  await rsyslog.has(numbered(0, 300)); // what rsyslog has only in memory it may drop by itself
  await rsyslog.stop();
  shipping.log.write(...numbered(300, 600));
  assert.equal(await rsyslog.start({ tls: false }), port);
  shipping.log.write(...numbered(600, 900));
  await shipping.finish();
  await rsyslog.has(numbered(0, 900));
});
