// The syslog driver against a strict server: every transport and format, a server that goes away
// and comes back, one that does not read, and local datagram sockets.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { payloadProgram } from "../payload/payload.ts";
import { makeCertificate } from "../support/certificates.ts";
import { until, within } from "../support/deadline.ts";
import { parseSyslog, receiveSyslog, receiveSyslogUdp } from "../support/log-receivers/syslog.ts";
import { CONTAINER_ID, numbered, ship } from "../support/shipping.ts";

const SHORT_ID = CONTAINER_ID.slice(0, 12);
const authority = makeCertificate({ commonName: "authority", authority: true });
const server = makeCertificate({
  commonName: "localhost",
  issuer: authority,
  addresses: ["127.0.0.1"],
});
const client = makeCertificate({ commonName: "client", issuer: authority });
const tls = {
  key: server.keyPem,
  cert: server.pem,
  ca: authority.pem,
  requestCert: true,
  rejectUnauthorized: true,
};

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-syslog-"));
  await writeFile(join(folder, "ca.pem"), authority.pem);
  await writeFile(join(folder, "cert.pem"), client.pem);
  await writeFile(join(folder, "key.pem"), client.keyPem);
});
after(() => rm(folder, { recursive: true }));

test("lines go over TCP in the BSD format, with facility, severity and tag", async () => {
  await using receiver = await receiveSyslog();
  await using shipping = await ship("syslog", {
    "syslog-address": `tcp://127.0.0.1:${receiver.port}`,
    "syslog-facility": "local3",
    "syslog-format": "rfc3164",
    tag: "{{.Name}}/{{.ID}}",
  });
  shipping.log.write("one", { stream: "stderr", text: Buffer.from("two\u00e9") });
  await shipping.finish();
  await receiver.until((got) => got.length === 2);
  const tag = `web/${SHORT_ID}`;
  const shown = receiver.got.map(({ time, ...rest }) => rest);
  const common = { format: "rfc3164", host: hostname(), tag, pid: process.pid };
  assert.deepEqual(shown, [
    { ...common, priority: (19 << 3) | 6, text: "one" },
    { ...common, priority: (19 << 3) | 3, text: "two\u00e9" },
  ]);
  assert.deepEqual(receiver.complaints, []);
});

test("lines go over UDP in the format of RFC 5424 with the time at which they were written", async () => {
  await using receiver = await receiveSyslogUdp();
  await using shipping = await ship("syslog", {
    "syslog-address": `udp://127.0.0.1:${receiver.port}`,
    "syslog-format": "rfc5424micro",
  });
  const text = Buffer.from("x");
  shipping.log.write({ text, timeNano: 1_700_000_000_123_456_789n });
  await shipping.finish();
  await receiver.until((got) => got.length === 1);
  const [message] = receiver.got;
  assert.equal(message?.format, "rfc5424");
  assert.equal(message.tag, SHORT_ID);
  assert.equal(new Date(message.time).getTime(), 1_700_000_000_123);
  assert.match(message.time, /:20\.123456(Z|[+-])/);
});

test("over TLS messages are counted, and both sides show certificates", async () => {
  await using receiver = await receiveSyslog({ tls, counted: true });
  await using shipping = await ship("syslog", {
    "syslog-address": `tcp+tls://127.0.0.1:${receiver.port}`,
    "syslog-format": "rfc5424",
    "syslog-tls-ca-cert": join(folder, "ca.pem"),
    "syslog-tls-cert": join(folder, "cert.pem"),
    "syslog-tls-key": join(folder, "key.pem"),
  });
  shipping.log.write("one", "two\nlines");
  await shipping.finish();
  await receiver.until((got) => got.length === 2);
  assert.deepEqual(
    receiver.got.map(({ text }) => text),
    ["one", "two\nlines"],
  );
  assert.deepEqual(receiver.complaints, []);
});

test("a server whose authority is not known fails the start, unless nobody verifies it", async () => {
  const lenient = { ...tls, requestCert: false };
  await using receiver = await receiveSyslog({ tls: lenient });
  const options = { "syslog-address": `tcp+tls://127.0.0.1:${receiver.port}` };
  await assert.rejects(ship("syslog", options), /tls: failed to verify certificate/);
  await using shipping = await ship("syslog", { ...options, "syslog-tls-skip-verify": "" });
  shipping.log.write("one");
  await shipping.finish();
  await receiver.until((got) => got.length === 1);
});

test("a server that is not there fails the start in docker's words", async () => {
  const gone = await receiveSyslog();
  const { port } = gone;
  await gone[Symbol.asyncDispose]();
  await assert.rejects(ship("syslog", { "syslog-address": `tcp://127.0.0.1:${port}` }), {
    message: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
  });
  const ca = { "syslog-tls-ca-cert": join(folder, "none.pem") };
  await assert.rejects(ship("syslog", { "syslog-address": "tcp+tls://127.0.0.1:1", ...ca }), {
    message:
      `could not read CA certificate "${join(folder, "none.pem")}": ` +
      `open ${join(folder, "none.pem")}: no such file or directory`,
  });
});

test("every line arrives though the server goes away and comes back as they flow", async () => {
  let receiver = await receiveSyslog();
  const { port } = receiver;
  const address = { "syslog-address": `tcp://127.0.0.1:${port}` };
  await using shipping = await ship("syslog", address);
  const seen = new Set<string>();
  const note = () => {
    for (const { text } of receiver.got) seen.add(text);
  };
  for (let round = 0; round < 4; round++) {
    shipping.log.write(...numbered(round * 1000, round * 1000 + 500));
    await receiver.until((got) => got.length > 0);
    await receiver[Symbol.asyncDispose]();
    note();
    shipping.log.write(...numbered(round * 1000 + 500, round * 1000 + 1000));
    receiver = await receiveSyslog({ port });
  }
  await using last = receiver;
  await shipping.finish();
  await last.until(() => {
    note();
    return seen.size === 4000;
  });
  assert.equal(seen.size, 4000);
  assert.ok(shipping.shipper.counters.shippedLines === 4000);
});

test("lines wait for a server that does not read, and none is lost", async () => {
  const held = Promise.withResolvers<void>();
  await using receiver = await receiveSyslog({
    onConnection: (socket) => {
      socket.pause();
      void held.promise.then(() => socket.resume());
    },
  });
  const address = { "syslog-address": `tcp://127.0.0.1:${receiver.port}` };
  await using shipping = await ship("syslog", address);
  const long = "x".repeat(16_000);
  const lines = Array.from({ length: 1500 }, (_, n) => `${n} ${long}`);
  for (let at = 0; at < lines.length; at += 15) shipping.log.write(...lines.slice(at, at + 15));
  shipping.shipper.finish();
  // Far more than the kernel keeps for a connection: the shipper must be waiting now.
  await until("lines that wait", () => shipping.shipper.counters.waitingLines > 0);
  assert.ok(shipping.shipper.counters.shippedLines < lines.length);
  held.resolve();
  await shipping.finish();
  await receiver.until((got) => got.length >= lines.length);
  assert.equal(new Set(receiver.got.map(({ text }) => text.split(" ")[0])).size, lines.length);
});

test("a unix stream socket takes lines, one that is not there fails the start", async () => {
  const path = join(folder, "stream");
  {
    await using receiver = await receiveSyslog({ path });
    await using shipping = await ship("syslog", { "syslog-address": `unix://${path}` });
    shipping.log.write("one");
    await shipping.finish();
    await receiver.until((got) => got.length === 1);
    assert.equal(receiver.got[0]?.format, "unix");
  }
  const address = { "syslog-address": `unix://${folder}` };
  await assert.rejects(ship("syslog", address), {
    message: `dial unix ${folder}: connect: connection refused`,
  });
});

/** The datagrams that a unix socket receives, as the payload prints them. */
async function listenDatagrams(path: string, ...more: string[]) {
  const child = spawn(await payloadProgram(), ["datagrams", path, ...more], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let text = "";
  let wake = () => {};
  child.stdout.on("data", (chunk) => {
    text += chunk;
    wake();
  });
  const lines = () => text.split("\n").slice(0, -1);
  const printed = async (count: number): Promise<string[]> => {
    const what = () => `${count} datagrams, of which ${lines().length - 1} came`;
    while (lines().length < count) {
      await within(what, new Promise<void>((resolve) => (wake = resolve)));
    }
    return lines();
  };
  await printed(1);
  return {
    received: async (count: number) =>
      (await printed(count + 1)).slice(1).map((line) => {
        const [kind = "", hex = ""] = line.split(" ");
        return { kind, text: Buffer.from(hex, "hex").toString() };
      }),
    next: () => child.stdin.write("\n"),
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
      await rm(path, { force: true });
    },
  };
}

test("a unix datagram socket takes lines, also when its queue is full for a while", async () => {
  const path = join(folder, "datagrams");
  await using receiver = await listenDatagrams(path, "slowly");
  await using shipping = await ship("syslog", { "syslog-address": `unixgram://${path}` });
  const lines = numbered(0, 300);
  shipping.log.write(...lines);
  shipping.shipper.finish();
  for (let n = 0; n < lines.length; n++) receiver.next();
  await shipping.finish();
  const got = (await receiver.received(lines.length)).map(({ text }) => parseSyslog(text.trim()));
  assert.deepEqual(
    got.map((message) => message?.text),
    lines,
  );
});

test("a unix datagram socket that is made anew gets what came meanwhile", async () => {
  const path = join(folder, "anew");
  const first = await listenDatagrams(path);
  await using shipping = await ship("syslog", { "syslog-address": `unixgram://${path}` });
  shipping.log.write("one");
  await first.received(1);
  await first[Symbol.asyncDispose]();
  shipping.log.write("two");
  await until("an attempt that failed", () => shipping.shipper.counters.retries > 0);
  await using second = await listenDatagrams(path);
  await shipping.finish();
  const [message] = await second.received(1);
  assert.equal(parseSyslog(message!.text.trim())?.text, "two");
});
