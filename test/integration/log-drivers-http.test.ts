// The drivers that speak HTTP (splunk, awslogs, gcplogs) against strict servers that check tokens,
// signatures and limits, that refuse, answer nonsense or nothing.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeCertificate } from "../support/certificates.ts";
import { until } from "../support/deadline.ts";
import { receiveAwsLogs } from "../support/log-receivers/awslogs.ts";
import { type GoogleReceiver, receiveGoogle } from "../support/log-receivers/gcplogs.ts";
import type { HttpReply } from "../support/log-receivers/http.ts";
import { receiveSplunk, type SplunkReceiver } from "../support/log-receivers/splunk.ts";
import { CONTAINER_ID, numbered, type Shipping, ship } from "../support/shipping.ts";

const TIME_NANO = 1_700_000_000_123_456_789n;
const SHORT_ID = CONTAINER_ID.slice(0, 12);
const authority = makeCertificate({ commonName: "authority", authority: true });
const server = makeCertificate({
  commonName: "localhost",
  issuer: authority,
  addresses: ["127.0.0.1"],
});

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-http-logs-"));
  await writeFile(join(folder, "ca.pem"), authority.pem);
  // What is not on this machine must not be asked for.
  process.env["AWS_EC2_METADATA_DISABLED"] = "true";
  process.env["AWS_ACCESS_KEY_ID"] = "key";
  process.env["AWS_SECRET_ACCESS_KEY"] = "secret";
  process.env["SPLUNK_LOGGING_DRIVER_POST_MESSAGES_FREQUENCY"] = "10ms";
});
after(() => rm(folder, { recursive: true }));

const splunk = (receiver: SplunkReceiver, more: Record<string, string> = {}) =>
  ship("splunk", { "splunk-url": receiver.url, "splunk-token": "secret", ...more });

test("a Splunk event has its line, stream, tag and attributes", async () => {
  await using receiver = await receiveSplunk();
  await using shipping = await splunk(receiver, {
    "splunk-source": "s",
    "splunk-sourcetype": "t",
    "splunk-index": "i",
    labels: "com.example",
  });
  shipping.log.write({ text: Buffer.from("one"), timeNano: TIME_NANO, stream: "stderr" });
  await shipping.finish();
  const { host, ...event } = receiver.got[0]!;
  assert.equal(typeof host, "string");
  assert.deepEqual(event, {
    event: { line: "one", source: "stderr", tag: SHORT_ID, attrs: { "com.example": "label" } },
    time: "1700000000.123456",
    source: "s",
    sourcetype: "t",
    index: "i",
  });
  assert.deepEqual(receiver.complaints, []);
});

test("Splunk's formats take lines as JSON or as raw text, packed if so wanted", async () => {
  await using receiver = await receiveSplunk();
  const lines = ['{"a":1}', "text", "  "];
  for (const format of ["json", "raw"]) {
    await using shipping = await splunk(receiver, {
      "splunk-format": format,
      "splunk-gzip": "true",
      "splunk-gzip-level": "9",
      env: "MODE",
      tag: "x",
    });
    shipping.log.write(...lines);
    await shipping.finish();
  }
  const event = { source: "stdout", tag: "x", attrs: { MODE: "fast" } };
  assert.deepEqual(
    receiver.got.map((one) => one.event),
    [
      { line: { a: 1 }, ...event },
      { line: "text", ...event },
      { line: "  ", ...event },
      'x MODE=fast {"a":1}',
      "x MODE=fast text",
    ],
  );
});

test("Splunk's certificate is of an authority and a name that options give", async () => {
  const tls = { key: server.keyPem, cert: server.pem };
  await using receiver = await receiveSplunk({ tls });
  await assert.rejects(splunk(receiver), /Options "https:/);
  const ca = { "splunk-capath": join(folder, "ca.pem") };
  const named = { ...ca, "splunk-caname": "elsewhere.example" };
  await assert.rejects(splunk(receiver, named), /Options "https:/);
  for (const more of [ca, { "splunk-insecureskipverify": "1" }]) {
    await using shipping = await splunk(receiver, more);
    shipping.log.write("one");
    await shipping.finish();
  }
  assert.equal(receiver.got.length, 2);
});

test("a start needs Splunk's collector, unless splunk-verify-connection is off", async () => {
  let isWell = false;
  const before = () => (isWell ? undefined : { status: 503, body: "busy" });
  await using receiver = await receiveSplunk({ before });
  await assert.rejects(splunk(receiver), {
    message: "splunk: failed to verify connection - 503 Service Unavailable - busy",
  });
  await using shipping = await splunk(receiver, { "splunk-verify-connection": "false" });
  shipping.log.write("one");
  await until("an attempt that failed", () => shipping.shipper.counters.retries > 0);
  isWell = true;
  await shipping.finish();
  assert.equal(receiver.got.length, 1);
});

test("with index acknowledgment a batch counts when it is indexed", async () => {
  await using receiver = await receiveSplunk({ indexedAfter: 1 });
  await using shipping = await splunk(receiver, { "splunk-index-acknowledgment": "true" });
  shipping.log.write("one");
  await shipping.finish();
  assert.equal(receiver.requests.filter(({ path }) => path.endsWith("/ack")).length, 2);
  assert.equal(receiver.got.length, 1);
  assert.equal(shipping.shipper.counters.shippedLines, 1);
});

test("an event that Splunk finds wrong is dropped alone", async () => {
  await using receiver = await receiveSplunk({
    before: ({ body }) => (body.includes("bad") ? { status: 400, body: '{"code":6}' } : undefined),
  });
  await using shipping = await splunk(receiver);
  shipping.log.write(...numbered(0, 10), "bad", ...numbered(10, 20));
  await shipping.finish();
  const lines = receiver.got.map(({ event }) => (event as { line: string }).line);
  assert.deepEqual(lines, numbered(0, 20));
  assert.equal(shipping.shipper.counters.droppedLines, 1);
});

test("long lines reach Splunk in one event, very long ones in several", async () => {
  await using receiver = await receiveSplunk();
  await using shipping = await splunk(receiver);
  const parts = Array.from({ length: 8 }, (_, n) => ({
    text: Buffer.from(String(n).repeat(16_384)),
    partial: { id: "p", ordinal: n + 1, last: n === 7 },
  }));
  shipping.log.write(...parts.slice(0, 3));
  shipping.log.write(...parts.slice(3));
  await shipping.finish();
  const lines = receiver.got.map(({ event }) => (event as { line: string }).line);
  assert.equal(lines.join(""), parts.map(({ text }) => String(text)).join(""));
  assert.ok(lines.every((line) => line.length <= 80 * 1024));
});

test("an answer without end is cut off and the batch sent again", async () => {
  let count = 0;
  const flood = Buffer.alloc(4 * 1024 * 1024);
  const before = ({ method }: { method: string }): HttpReply | undefined =>
    method === "POST" && count++ === 0 ? { status: 200, body: flood } : undefined;
  await using receiver = await receiveSplunk({ before });
  await using shipping = await splunk(receiver);
  shipping.log.write("one");
  await shipping.finish();
  assert.equal(shipping.shipper.counters.retries, 1);
  assert.equal(receiver.got.length, 1);
});

const aws = (url: string, more: Record<string, string> = {}) =>
  ship("awslogs", {
    "awslogs-region": "eu-central-1",
    "awslogs-endpoint": url,
    "awslogs-group": "group",
    "awslogs-force-flush-interval-seconds": "1",
    ...more,
  });

test("CloudWatch events come signed, to a stream of the container's", async () => {
  await using receiver = await receiveAwsLogs({ groups: ["group"] });
  await using shipping = await aws(receiver.url);
  shipping.log.write({ text: Buffer.from("one\u00e9"), timeNano: TIME_NANO });
  await shipping.finish();
  const place = { group: "group", stream: CONTAINER_ID };
  assert.deepEqual(receiver.got, [
    { ...place, timestamp: 1_700_000_000_123, message: "one\u00e9" },
  ]);
  assert.deepEqual(receiver.complaints, []);
});

test("a group is made where options say so, otherwise its lack fails the start", async () => {
  await using receiver = await receiveAwsLogs();
  await assert.rejects(aws(receiver.url), {
    message: /^failed to create Cloudwatch log stream: .*ResourceNotFoundException/,
  });
  await using shipping = await aws(receiver.url, {
    "awslogs-create-group": "true",
    "awslogs-stream": "mine",
    "awslogs-format": "json/emf",
  });
  shipping.log.write('{"_aws":{}}');
  await shipping.finish();
  assert.deepEqual([...receiver.groups.get("group")!], ["mine"]);
  const put = receiver.requests.find(({ headers }) => headers["x-amz-target"]?.endsWith("Events"));
  assert.equal(put?.headers["x-amzn-logs-format"], "json/emf");
});

test("a stream that is deleted meanwhile is made again", async () => {
  await using receiver = await receiveAwsLogs({ groups: ["group"] });
  await using shipping = await aws(receiver.url);
  receiver.groups.get("group")!.clear();
  shipping.log.write("one");
  await shipping.finish();
  assert.equal(receiver.got.length, 1);
});

test("lines of one event are put together by a pattern, and calls keep their limits", async () => {
  await using receiver = await receiveAwsLogs({ groups: ["group"] });
  await using shipping = await aws(receiver.url, { "awslogs-datetime-format": "%Y-%m-%d" });
  shipping.log.write("2026-01-02 Error", "  at here", "2026-01-03 next", "y".repeat(300_000));
  await shipping.finish();
  const messages = receiver.got.map(({ message }) => message);
  assert.equal(messages[0], "2026-01-02 Error\n  at here\n");
  assert.equal(messages.slice(1).join(""), `2026-01-03 next\n${"y".repeat(300_000)}\n`);
  assert.deepEqual(receiver.complaints, []);
});

test("many lines go in calls that the service takes", async () => {
  await using receiver = await receiveAwsLogs({ groups: ["group"] });
  await using shipping = await aws(receiver.url);
  const lines = numbered(0, 25_000);
  for (let at = 0; at < lines.length; at += 500) shipping.log.write(...lines.slice(at, at + 500));
  await shipping.finish();
  assert.deepEqual(
    receiver.got.map(({ message }) => message),
    lines,
  );
  assert.deepEqual(receiver.complaints, []);
});

test("lines join the one that the pattern finds before them, however long they are", async () => {
  await using receiver = await receiveAwsLogs({ groups: ["group"] });
  await using shipping = await aws(receiver.url, { "awslogs-multiline-pattern": "^(a|a?)+b" });
  const long = `${"a".repeat(16_000)}c`;
  shipping.log.write("ab one", long, long, "aab two", "rest");
  await shipping.finish();
  const messages = receiver.got.map(({ message }) => message);
  assert.deepEqual(messages, [`ab one\n${long}\n${long}\n`, "aab two\nrest\n"]);
  assert.deepEqual(receiver.complaints, []);
});

test("a pattern that does not compile fails the start", async () => {
  await assert.rejects(aws("http://127.0.0.1:1", { "awslogs-multiline-pattern": "(" }), {
    message: /^awslogs could not parse multiline pattern key "\(": /,
  });
});

test("entries of Google Cloud have ids, and one that is sent again is kept once", async () => {
  let failures = 2;
  await using receiver = await receiveGoogle({
    before: ({ body }) =>
      body.includes('"message":"one"') && failures-- > 0
        ? { status: 503, body: "later" }
        : undefined,
  });
  const key = join(folder, "key.json");
  await receiver.writeKey(key);
  process.env["GOOGLE_APPLICATION_CREDENTIALS"] = key;
  process.env["CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"] = `${receiver.url}/`;
  process.env["GCE_METADATA_HOST"] = "127.0.0.1:1";
  await using shipping = await ship("gcplogs", {
    "gcp-project": "project",
    "gcp-log-cmd": "true",
    "gcp-meta-zone": "zone",
    "gcp-meta-id": "7",
    labels: "com.example",
  });
  shipping.log.write({ text: Buffer.from("one"), timeNano: TIME_NANO }, "two");
  await shipping.finish();
  const entries = receiver.got.filter(({ jsonPayload }) => jsonPayload !== undefined);
  assert.deepEqual(
    entries.map(({ jsonPayload }) => jsonPayload!.message),
    ["one", "two"],
  );
  const [first] = entries;
  assert.equal(first?.logName, "projects/project/logs/gcplogs-docker-driver");
  assert.equal(first.timestamp, "2023-11-14T22:13:20.123456789Z");
  assert.deepEqual(first.jsonPayload, {
    instance: { zone: "zone", id: "7" },
    container: {
      name: "/web",
      id: CONTAINER_ID,
      imageName: "image:1",
      imageId: `sha256:${"fe".repeat(32)}`,
      created: "2026-01-02T03:04:05.678901234Z",
      command: "/bin/program one two",
      metadata: { "com.example": "label" },
    },
    message: "one",
  });
  assert.deepEqual(first.resource, {
    type: "gce_instance",
    labels: { project_id: "project", instance_id: "7", zone: "zone" },
  });
  assert.equal(receiver.tokens, 1);
  assert.deepEqual(receiver.complaints, []);
});

const googleError = (status: string, message: string) => ({
  status: 400,
  body: JSON.stringify({ error: { code: 400, status, message } }),
});

async function shipToGoogle(receiver: GoogleReceiver): Promise<Shipping> {
  const key = join(folder, "key.json");
  await receiver.writeKey(key);
  process.env["GOOGLE_APPLICATION_CREDENTIALS"] = key;
  process.env["CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"] = `${receiver.url}/`;
  process.env["GCE_METADATA_HOST"] = "127.0.0.1:1";
  return await ship("gcplogs", { "gcp-project": "project" });
}
const textsOf = (receiver: GoogleReceiver) =>
  receiver.got.flatMap(({ jsonPayload }) => jsonPayload?.message ?? []);

for (const [status, message] of [
  ["FAILED_PRECONDITION", "The project has been disabled"],
  ["INVALID_ARGUMENT", "Invalid resource type: global"],
] as const) {
  test(`lines wait for a setting of Google's that is wrong (${message})`, async () => {
    let isMended = false;
    const before = ({ body }: { body: Buffer }) =>
      body.includes('"message"') && !isMended ? googleError(status, message) : undefined;
    await using receiver = await receiveGoogle({ before });
    await using shipping = await shipToGoogle(receiver);
    shipping.log.write("one", "two");
    await until("an attempt that failed", () => shipping.shipper.counters.retries > 0);
    isMended = true;
    await shipping.finish();
    assert.deepEqual(textsOf(receiver), ["one", "two"]);
    assert.equal(shipping.shipper.counters.droppedLines, 0);
  });
}

test("an entry that Google refuses is dropped alone", async () => {
  const tooLarge = "Log entry with size 300.0K exceeds maximum size of 256.0K";
  const before = ({ body }: { body: Buffer }) =>
    body.includes('"large"') ? googleError("INVALID_ARGUMENT", tooLarge) : undefined;
  await using receiver = await receiveGoogle({ before });
  await using shipping = await shipToGoogle(receiver);
  shipping.log.write("one", "large", "two");
  await shipping.finish();
  assert.deepEqual(textsOf(receiver), ["one", "two"]);
  assert.equal(shipping.shipper.counters.droppedLines, 1);
});

test("Google's service must be there at the start, and know the project", async () => {
  process.env["GCE_METADATA_HOST"] = "127.0.0.1:1";
  await assert.rejects(ship("gcplogs", {}), {
    message:
      "No project was specified and couldn't read project from the metadata server. " +
      "Please specify a project",
  });
  await using receiver = await receiveGoogle({ before: () => ({ status: 403, body: "no" }) });
  const key = join(folder, "other.json");
  await receiver.writeKey(key);
  process.env["GOOGLE_APPLICATION_CREDENTIALS"] = key;
  process.env["CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"] = `${receiver.url}/`;
  await assert.rejects(ship("gcplogs", { "gcp-project": "project" }), {
    message: /^unable to connect or authenticate with Google Cloud Logging: .*403/,
  });
});
