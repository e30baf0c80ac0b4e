// A syslog server over TCP, TLS, UDP or a unix stream: parses RFC 3164 with and without a host,
// RFC 5424, and frames by newlines or by octet counts.

import { createSocket } from "node:dgram";
import type { Socket } from "node:net";
import { Inbox, listenStream, type Receiver, type StreamOptions } from "./received.ts";

export interface SyslogMessage {
  priority: number;
  format: "unix" | "rfc3164" | "rfc5424";
  time: string;
  host?: string;
  tag: string;
  pid: number;
  text: string;
}

export type SyslogReceiver = Receiver<SyslogMessage>;

const STAMP = String.raw`([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)`;
const FORMS = {
  rfc5424: /^<(\d{1,3})>1 (\S+) (\S+) (\S+) (\d+) (\S+) - (.*)$/s,
  rfc3164: new RegExp(`^<(\\d{1,3})>${STAMP} (\\S+) ([^\\s[]+)\\[(\\d+)\\]: (.*)$`, "s"),
  unix: new RegExp(`^<(\\d{1,3})>${STAMP} ([^\\s[]+)\\[(\\d+)\\]: (.*)$`, "s"),
};

export function parseSyslog(message: string): SyslogMessage | undefined {
  const long = FORMS.rfc5424.exec(message);
  if (long) {
    const [, priority, time = "", host = "", tag = "", pid, , text = ""] = long;
    const at = { priority: Number(priority), format: "rfc5424" as const, time, host };
    return { ...at, tag, pid: Number(pid), text };
  }
  const old = FORMS.rfc3164.exec(message);
  if (old) {
    const [, priority, time = "", host = "", tag = "", pid, text = ""] = old;
    const at = { priority: Number(priority), format: "rfc3164" as const, time, host };
    return { ...at, tag, pid: Number(pid), text };
  }
  const unix = FORMS.unix.exec(message);
  if (!unix) return undefined;
  const [, priority, time = "", tag = "", pid, text = ""] = unix;
  return { priority: Number(priority), format: "unix", time, tag, pid: Number(pid), text };
}

/** `counted`: RFC 5425's framing. `onConnection` may hold a connection back. */
export async function receiveSyslog(
  o: StreamOptions & { counted?: boolean; onConnection?: (socket: Socket) => void } = {},
): Promise<SyslogReceiver> {
  const inbox = new Inbox<SyslogMessage>();
  const take = (message: string) => {
    const parsed = parseSyslog(message);
    if (parsed) inbox.put(parsed);
    else inbox.complain(`no syslog message: ${JSON.stringify(message.slice(0, 200))}`);
  };
  const server = await listenStream(o, (socket) => {
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk as Buffer]);
      for (;;) {
        const cut = o.counted ? cutCounted(rest, inbox) : cutLine(rest);
        if (!cut) return;
        rest = rest.subarray(cut.next);
        take(cut.message);
      }
    });
    o.onConnection?.(socket);
  });
  return {
    port: server.port,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough) => inbox.until(enough),
    follow: (take) => inbox.follow(take),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

function cutLine(data: Buffer): { message: string; next: number } | undefined {
  const end = data.indexOf(10);
  return end < 0 ? undefined : { message: data.toString("utf8", 0, end), next: end + 1 };
}

function cutCounted(
  data: Buffer,
  inbox: Inbox<SyslogMessage>,
): { message: string; next: number } | undefined {
  const space = data.indexOf(32);
  if (space < 0) return undefined;
  const count = Number(data.toString("latin1", 0, space));
  if (!Number.isInteger(count)) {
    inbox.complain("no count before a message");
    return undefined;
  }
  const next = space + 1 + count;
  if (data.length < next) return undefined;
  return { message: data.toString("utf8", space + 1, next).replace(/\n$/, ""), next };
}

export async function receiveSyslogUdp(): Promise<SyslogReceiver> {
  const inbox = new Inbox<SyslogMessage>();
  const socket = createSocket("udp4");
  socket.on("message", (datagram) => {
    const parsed = parseSyslog(datagram.toString().replace(/\n$/, ""));
    if (parsed) inbox.put(parsed);
    else inbox.complain(`no syslog message: ${datagram}`);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return {
    port: socket.address().port,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough) => inbox.until(enough),
    follow: (take) => inbox.follow(take),
    [Symbol.asyncDispose]: async () => void socket.close(),
  };
}
