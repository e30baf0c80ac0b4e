// All receivers in one process, for tests whose daemon has a network namespace of its own. Says in
// a line of JSON where they listen, then each text that arrives in one: {receiver, text}. Lines on
// standard input `close` and `open` the syslog server over TCP. Another one, `tap`, reads nothing
// until `release`, and says then how many lines a connection had.

import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { receiveAwsLogs } from "./awslogs.ts";
import { receiveFluentd } from "./fluentd.ts";
import { receiveGoogle } from "./gcplogs.ts";
import { receiveGelfTcp, receiveGelfUdp } from "./gelf.ts";
import { listenStream, type Receiver } from "./received.ts";
import { receiveSplunk } from "./splunk.ts";
import { receiveSyslog, receiveSyslogUdp } from "./syslog.ts";

const say = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`);

function follow<T>(name: string, receiver: Receiver<T>, textOf: (message: T) => string): void {
  receiver.follow((message) => say({ receiver: name, text: textOf(message) }));
}

const [keyPath = "", googlePort = "0"] = process.argv.slice(2);
let syslog = await receiveSyslog();
const syslogUdp = await receiveSyslogUdp();
const gelf = await receiveGelfTcp();
const gelfUdp = await receiveGelfUdp();
const fluentd = await receiveFluentd();
const splunk = await receiveSplunk();
const aws = await receiveAwsLogs();
const google = await receiveGoogle({ port: Number(googlePort) });
await google.writeKey(keyPath);
let isOpen = false;
const held = new Set<Socket>();
const tap = await listenStream({}, (socket) => {
  let lines = 0;
  socket.on("data", (chunk: Buffer) => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
  });
  socket.once("close", () => say({ receiver: "tap", text: String(lines) }));
  held.add(socket);
  if (!isOpen) socket.pause();
});
const syslogPort = syslog.port;
follow("syslog", syslog, ({ text }) => text);
follow("syslogUdp", syslogUdp, ({ text }) => text);
follow("gelf", gelf, ({ short_message }) => short_message);
follow("gelfUdp", gelfUdp, ({ short_message }) => short_message);
follow("fluentd", fluentd, ({ record }) => record["log"] ?? "");
follow("splunk", splunk, ({ event }) => (event as { line: string }).line);
follow("awslogs", aws, ({ message }) => message);
follow("gcplogs", google, ({ jsonPayload }) => jsonPayload?.message ?? "");
say({
  syslog: syslogPort,
  syslogUdp: syslogUdp.port,
  gelf: gelf.port,
  gelfUdp: gelfUdp.port,
  fluentd: fluentd.port,
  splunk: splunk.port,
  awslogs: aws.port,
  tap: tap.port,
});

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "close") await syslog[Symbol.asyncDispose]();
  if (line === "open") {
    syslog = await receiveSyslog({ port: syslogPort });
    follow("syslog", syslog, ({ text }) => text);
  }
  if (line === "release" || line === "hold") {
    isOpen = line === "release";
    for (const socket of held) isOpen ? socket.resume() : socket.pause();
  }
  say({ done: line });
}
process.exit(0);
