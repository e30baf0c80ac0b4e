// Splunk's HTTP Event Collector: takes events one after another in a body, checks the token, and
// acknowledges their indexing on request.

import type { ServerOptions } from "node:https";
import { type HttpReply, type HttpRequest, listenHttp } from "./http.ts";
import { Inbox, type Receiver } from "./received.ts";

export interface SplunkEvent {
  event: unknown;
  time: string;
  host: string;
  source?: string;
  sourcetype?: string;
  index?: string;
}
export interface SplunkReceiver extends Receiver<SplunkEvent> {
  readonly url: string;
  readonly requests: HttpRequest[];
}

const EVENTS = "/services/collector/event/1.0";
const ACKS = "/services/collector/ack";
const success = (more: object = {}): HttpReply => ({
  status: 200,
  body: JSON.stringify({ text: "Success", code: 0, ...more }),
});

/** `before` may answer in the receiver's place. `indexedAfter`: so many polls say no first. */
export async function receiveSplunk(
  o: {
    token?: string;
    tls?: ServerOptions;
    port?: number;
    indexedAfter?: number;
    before?: (request: HttpRequest) => HttpReply | "silence" | undefined;
  } = {},
): Promise<SplunkReceiver> {
  const { token = "secret", indexedAfter = 0 } = o;
  const inbox = new Inbox<SplunkEvent>();
  const requests: HttpRequest[] = [];
  let batches = 0;
  let polls = 0;
  const http = await listenHttp(async (request) => {
    requests.push(request);
    const early = o.before?.(request);
    if (early === "silence") return undefined;
    if (early) return early;
    if (request.method === "OPTIONS" && request.path === EVENTS) return { status: 200 };
    if (request.headers["authorization"] !== `Splunk ${token}`) {
      return { status: 403, body: '{"text":"Invalid token","code":4}' };
    }
    if (request.path === ACKS) {
      const { acks } = JSON.parse(String(request.body)) as { acks: number[] };
      const isIndexed = polls++ >= indexedAfter;
      const states = Object.fromEntries(acks.map((id) => [String(id), isIndexed]));
      return { status: 200, body: JSON.stringify({ acks: states }) };
    }
    if (request.path !== EVENTS) return { status: 404 };
    for (const event of eventsOf(String(request.body), inbox)) inbox.put(event);
    const channel = request.headers["x-splunk-request-channel"];
    return success(channel === undefined ? {} : { ackId: batches++ });
  }, o);
  return {
    port: http.port,
    url: http.url,
    requests,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough) => inbox.until(enough),
    follow: (take) => inbox.follow(take),
    [Symbol.asyncDispose]: () => http.close(),
  };
}

/** JSON objects without anything between them. */
function eventsOf(text: string, inbox: Inbox<SplunkEvent>): SplunkEvent[] {
  const events: SplunkEvent[] = [];
  for (let start = 0, depth = 0, quoted = false, at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === "\\") at++;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "{") depth++;
    else if (character === "}" && --depth === 0) {
      events.push(JSON.parse(text.slice(start, at + 1)) as SplunkEvent);
      start = at + 1;
    }
  }
  for (const { time, host } of events) {
    if (!/^\d+\.\d{6}$/.test(time)) inbox.complain(`time ${time}`);
    if (typeof host !== "string") inbox.complain("no host");
  }
  return events;
}
