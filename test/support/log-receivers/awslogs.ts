// CloudWatch Logs: groups and streams, PutLogEvents with its limits, and requests whose signature
// (version 4) is computed again here, by hand.

import { createHash, createHmac } from "node:crypto";
import { type HttpReply, type HttpRequest, listenHttp } from "./http.ts";
import { Inbox, type Receiver } from "./received.ts";

export interface AwsLogEvent {
  group: string;
  stream: string;
  timestamp: number;
  message: string;
}
export interface AwsLogsReceiver extends Receiver<AwsLogEvent> {
  readonly url: string;
  readonly groups: Map<string, Set<string>>;
  readonly requests: HttpRequest[];
}

const CALL_BYTES_MAX = 1_048_576;
const EVENT_BYTES_MAX = 262_144;
const OVERHEAD = 26;
const DAY_MS = 24 * 60 * 60 * 1000;

const failure = (type: string, message = ""): HttpReply => ({
  status: 400,
  body: JSON.stringify({ __type: type, message }),
});
const hash = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string) =>
  createHmac("sha256", key).update(text).digest();

/** The signature that a request must have, by AWS's description of version 4. */
function signatureOf({ method, path, headers, body }: HttpRequest, secret: string): string {
  const found = /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+)/.exec(headers["authorization"]!);
  const [, scope = "", names = ""] = found ?? [];
  const canonical = [
    method,
    path,
    "",
    ...names.split(";").map((name) => `${name}:${headers[name]!.trim().replace(/ +/g, " ")}`),
    "",
    names,
    hash(body),
  ].join("\n");
  const [date = "", region = "", service = ""] = scope.split("/");
  const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, date), region), service), "aws4_request");
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hash(canonical)].join("\n");
  return createHmac("sha256", key).update(text).digest("hex");
}

type Put = {
  logGroupName: string;
  logStreamName: string;
  logEvents: { timestamp: number; message: string }[];
};

export async function receiveAwsLogs(
  o: {
    secret?: string;
    groups?: string[];
    before?: (request: HttpRequest) => HttpReply | "silence" | undefined;
  } = {},
): Promise<AwsLogsReceiver> {
  const { secret = "secret" } = o;
  const inbox = new Inbox<AwsLogEvent>();
  const requests: HttpRequest[] = [];
  const groups = new Map<string, Set<string>>((o.groups ?? []).map((name) => [name, new Set()]));
  const actions: Record<string, (input: Put) => HttpReply> = {
    CreateLogGroup: ({ logGroupName }) => {
      if (groups.has(logGroupName)) return failure("ResourceAlreadyExistsException");
      groups.set(logGroupName, new Set());
      return { status: 200 };
    },
    CreateLogStream: ({ logGroupName, logStreamName }) => {
      const streams = groups.get(logGroupName);
      if (!streams) return failure("ResourceNotFoundException", "The log group does not exist.");
      if (streams.has(logStreamName)) return failure("ResourceAlreadyExistsException");
      streams.add(logStreamName);
      return { status: 200 };
    },
    PutLogEvents: (input) => {
      const { logGroupName: group, logStreamName: stream, logEvents } = input;
      if (!groups.get(group)?.has(stream)) return failure("ResourceNotFoundException");
      const wrong = limitsBroken(input);
      if (wrong) {
        inbox.complain(wrong);
        return failure("InvalidParameterException", wrong);
      }
      for (const event of logEvents) inbox.put({ group, stream, ...event });
      return { status: 200, body: JSON.stringify({ nextSequenceToken: "1" }) };
    },
  };
  const http = await listenHttp(async (request) => {
    requests.push(request);
    const early = o.before?.(request);
    if (early === "silence") return undefined;
    if (early) return early;
    if (!request.headers["authorization"]?.endsWith(`Signature=${signatureOf(request, secret)}`)) {
      inbox.complain("a wrong signature");
      return failure("InvalidSignatureException");
    }
    const action = request.headers["x-amz-target"]?.replace(/^Logs_20140328\./, "") ?? "";
    const run = actions[action];
    if (!run) return failure("UnknownOperationException");
    return run(JSON.parse(String(request.body)) as Put);
  });
  return {
    port: http.port,
    url: http.url,
    groups,
    requests,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough) => inbox.until(enough),
    follow: (take) => inbox.follow(take),
    [Symbol.asyncDispose]: () => http.close(),
  };
}

function limitsBroken({ logEvents }: Put): string | undefined {
  const sizes = logEvents.map(({ message }) => Buffer.byteLength(message) + OVERHEAD);
  const times = logEvents.map(({ timestamp }) => timestamp);
  const sorted = [...times].sort((a, b) => a - b);
  if (logEvents.length === 0 || logEvents.length > 10_000) return "number of events";
  if (logEvents.some(({ message }) => message === "")) return "an empty message";
  if (sizes.some((size) => size > EVENT_BYTES_MAX)) return "size of an event";
  if (sizes.reduce((a, b) => a + b, 0) > CALL_BYTES_MAX) return "size of a call";
  if (times.some((time, index) => time !== sorted[index])) return "order of events";
  return sorted.at(-1)! - sorted[0]! > DAY_MS ? "span of events" : undefined;
}
