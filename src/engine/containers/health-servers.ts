// Health checks that need no process: the native program connects from inside the container's
// network namespace and brings back what the server said. The server is the container's and may be
// hostile: what it says is bounded in bytes and time, and redirects lead nowhere else.

import { errnoOf, formatDuration, GantryError, messageOf } from "../../base/index.ts";
import type { Native } from "../../native/index.ts";
import { addressBytes } from "../../network/index.ts";
import { limitOutput } from "./health-rules.ts";
import type { HealthTarget, ServerPlace } from "./health-target.ts";

const ANSWER_BYTES_MAX = 16 << 10;
/** After the head of an answer, for servers that do not close. */
const BODY_WAIT_MS = 250;
const REDIRECTS_MAX = 5;
const HEAD_END = "\r\n\r\n";
const SLOT_NETNS = 0;
/** Each holds a worker of the native program, which starts of containers need too. */
const AT_ONCE_MAX = 64;
const NS_PER_MS = 1e6;
const DEADLINE_MARGIN_MS = 2_000;

export interface Outcome {
  ExitCode: number;
  Output: string;
}
type ServerTarget = Exclude<HealthTarget, { kind: "command" }>;

export interface ServerProbe {
  native: Native;
  /** A process in the network namespace. */
  pid: number;
  timeoutMs: number;
  signal: AbortSignal;
}

let running = 0;
const queue: (() => void)[] = [];

/** Asks once. Rejects when the signal aborts; everything else is an outcome. */
export async function probeServer(target: ServerTarget, o: ServerProbe): Promise<Outcome> {
  if (running >= AT_ONCE_MAX) await new Promise<void>((resolve) => queue.push(resolve));
  else running++;
  try {
    o.signal.throwIfAborted();
    return target.kind === "tcp" ? await probeTcp(target, o) : await probeHttp(target, o);
  } catch (error) {
    o.signal.throwIfAborted();
    const at = target.kind === "tcp" ? `tcp://${target.authority}` : urlOf(target);
    if (isTimeout(error)) return timedOut(o.timeoutMs);
    return { ExitCode: 1, Output: `${at}: ${reasonOf(error)}` };
  } finally {
    const next = queue.shift();
    if (next) next();
    else running--;
  }
}

async function probeTcp(target: ServerTarget, o: ServerProbe): Promise<Outcome> {
  await ask(target, { ...o, max: 0, until: performance.now() + o.timeoutMs });
  return { ExitCode: 0, Output: `tcp://${target.authority}: connected` };
}

async function probeHttp(
  target: Extract<HealthTarget, { kind: "http" }>,
  o: ServerProbe,
): Promise<Outcome> {
  const until = performance.now() + o.timeoutMs;
  let at = target;
  for (let redirects = 0; ; redirects++) {
    const answer = await ask(at, { ...o, max: ANSWER_BYTES_MAX, until, data: requestOf(at) });
    const reply = parseReply(answer.bytes);
    if (!reply) {
      if (answer.timeOver) return timedOut(o.timeoutMs);
      return { ExitCode: 1, Output: `${urlOf(at)}: the answer is no HTTP/1 answer` };
    }
    const next = target.statuses ? undefined : redirected(at, reply);
    if (!next) return judge(at, reply);
    if (redirects === REDIRECTS_MAX) {
      return { ExitCode: 1, Output: `${urlOf(at)}: more than ${REDIRECTS_MAX} redirects` };
    }
    at = { ...at, path: next };
  }
}

type HttpTarget = Extract<HealthTarget, { kind: "http" }>;

function judge(at: HttpTarget, reply: Reply): Outcome {
  const isGood = (at.statuses ?? [[200, 399]]).some(
    ([first, last]) => reply.status >= first! && reply.status <= last!,
  );
  const line = `${at.method} ${urlOf(at)}: ${reply.statusLine}\n`;
  return {
    ExitCode: isGood ? 0 : 1,
    Output: limitOutput(Buffer.concat([Buffer.from(line), reply.body])),
  };
}

const urlOf = ({ authority, ...rest }: ServerTarget): string =>
  `http://${authority}${"path" in rest ? rest.path : ""}`;

function requestOf(at: HttpTarget): string {
  const own = new Set(at.headers.map(([name]) => name.toLowerCase()));
  const headers: [string, string][] = [
    ["Host", at.authority],
    ["User-Agent", "gantry-health"],
    ["Accept", "*/*"],
    ["Connection", "close"],
  ];
  const all = [...headers.filter(([name]) => !own.has(name.toLowerCase())), ...at.headers];
  const lines = all.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${at.method} ${at.path} HTTP/1.1\r\n${lines}\r\n`;
}

/** The path to go on at; undefined where the reply is the answer. Elsewhere is not followed. */
function redirected(at: HttpTarget, reply: Reply): string | undefined {
  if (![301, 302, 303, 307, 308].includes(reply.status)) return undefined;
  const location = reply.headers.get("location");
  if (!location || !URL.canParse(location, urlOf(at))) return undefined;
  const url = new URL(location, urlOf(at));
  if (url.origin !== new URL(urlOf(at)).origin || url.username !== "") return undefined;
  return `${url.pathname}${url.search}`;
}

interface Reply {
  status: number;
  statusLine: string;
  headers: Map<string, string>;
  body: Buffer;
}

/** Reads an answer, skipping interim ones; undefined where its head is not whole. */
export function parseReply(bytes: Buffer): Reply | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) return undefined;
  const rest = bytes.subarray(end + HEAD_END.length);
  if (status < 200 && status !== 101) return parseReply(rest);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const isChunked = headers.get("transfer-encoding")?.toLowerCase().endsWith("chunked") === true;
  return { status, statusLine, headers, body: isChunked ? dechunk(rest) : rest };
}

/** As much of a chunked body as is there. */
function dechunk(bytes: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf("\r\n", at);
    const length = Number.parseInt(bytes.toString("latin1", at, end < 0 ? at : end), 16);
    if (!(length > 0)) break;
    chunks.push(bytes.subarray(end + 2, end + 2 + length));
    at = end + 2 + length + 2;
  }
  return Buffer.concat(chunks);
}

type Question = ServerProbe & { max: number; until: number; data?: string };

/** Asks at each address until one has a server. */
async function ask(place: ServerPlace, o: Question): Promise<{ bytes: Buffer; timeOver: boolean }> {
  let failure: unknown;
  for (const address of place.addresses) {
    try {
      return await askAt(address, place.port, o);
    } catch (error) {
      if (isTimeout(error) || o.signal.aborted) throw error;
      // The first reason counts: the second family is often not there at all.
      failure ??= error;
    }
  }
  throw failure;
}

async function askAt(address: string, port: number, o: Question) {
  const waitMs = Math.ceil(o.until - performance.now());
  if (waitMs <= 0) throw new GantryError("timeout", "time is over");
  const data = Buffer.from(o.data ?? "");
  const results = await o.native.run(
    {
      host: [
        { op: "open", path: `/proc/${o.pid}/ns/net`, flags: 0, to: SLOT_NETNS },
        {
          op: "exchange",
          netns: SLOT_NETNS,
          ip: addressBytes(address),
          port,
          ...(data.length > 0 && { data, until: Buffer.from(HEAD_END), lingerMs: BODY_WAIT_MS }),
          max: o.max,
          waitMs,
        },
      ],
      deadlineMs: waitMs + DEADLINE_MARGIN_MS,
    },
    { signal: o.signal },
  );
  const answer = Buffer.from(results.bytes(1));
  return { bytes: answer.subarray(1), timeOver: answer[0] === 1 };
}

function timedOut(timeoutMs: number): Outcome {
  const limit = formatDuration(timeoutMs * NS_PER_MS);
  return { ExitCode: -1, Output: `Health check exceeded timeout (${limit})` };
}

const isTimeout = (error: unknown): boolean =>
  error instanceof GantryError && error.kind === "timeout";

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by the server",
  EPIPE: "connection closed by the server",
  ENETUNREACH: "network is unreachable",
  EHOSTUNREACH: "host is unreachable",
  EADDRNOTAVAIL: "address is not available",
};

function reasonOf(error: unknown): string {
  const errno = errnoOf(error);
  return (errno && REASONS[errno]) || messageOf(error);
}
