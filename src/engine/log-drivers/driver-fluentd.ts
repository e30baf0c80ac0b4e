// The fluentd driver: forward protocol over TCP, TLS or a unix socket. With fluentd-request-ack a
// batch is done with when the receiver has acknowledged it, so that nothing is lost with it;
// without, a break is handled as for syslog (stream-sender.ts).

import { randomBytes } from "node:crypto";
import { decodeMultiStream } from "@msgpack/msgpack";
import { GantryError, messageOf, parseRamBytes } from "../../base/index.ts";
import { extraAttributes, type LogInfo, logTag } from "../logs/attributes.ts";
import type { LogEntry } from "../logs/contract.ts";
import type { LogDriver, LogDriverOptions, LogSink, SendOptions, SinkLimits } from "./contract.ts";
import type { Endpoint } from "./dial.ts";
import { eventTime, type FluentRecord, forwardMessage, partialFields } from "./fluent-forward.ts";
import {
  boolOption,
  driverOptions,
  durationMs,
  invalid,
  parseAddress,
  portNumber,
  refuseUnknown,
  TAG_OPTIONS,
  uintOption,
} from "./options.ts";
import { StreamSender } from "./stream-sender.ts";

const ADDRESS = "fluentd-address";
const RECONNECT = "fluentd-async-reconnect-interval";
const WRITE_TIMEOUT = "fluentd-write-timeout";
const OPTIONS = [
  ...[ADDRESS, "fluentd-async", RECONNECT, "fluentd-buffer-limit", "fluentd-max-retries"],
  ...["fluentd-request-ack", "fluentd-retry-wait", "fluentd-sub-second-precision", WRITE_TIMEOUT],
  ...TAG_OPTIONS,
];
const PORT = 24_224;
const RETRY_WAIT_MS = 1000;
const BUFFER_BYTES = 1024 * 1024;
const RECONNECT_MS_MIN = 100;
const RECONNECT_MS_MAX = 10_000;
const LINES_MAX = 1000;
const BATCH_BYTES_MAX = 512 * 1024;
const CHUNK_ID_BYTES = 16;

export const fluentdDriver: LogDriver = {
  name: "fluentd",
  validate(options) {
    refuseUnknown(options, OPTIONS, (key) => `unknown log opt '${key}' for fluentd log driver`);
    parse(options);
  },
  open: (c) => new FluentdSink(c, parse(driverOptions(c))),
};

function parse(options: LogDriverOptions) {
  const endpoint = endpointOf(options[ADDRESS] ?? "");
  const limit = options["fluentd-buffer-limit"];
  const bufferBytes = limit ? parseRamBytes(limit) : BUFFER_BYTES;
  const wait = options["fluentd-retry-wait"];
  const retryMs = wait ? durationMs(wait) : RETRY_WAIT_MS;
  const retries = uintOption(options, "fluentd-max-retries");
  const isAsync = boolOption(options, "fluentd-async");
  const reconnectMs = reconnectInterval(options[RECONNECT] ?? "");
  return {
    endpoint,
    isAsync,
    precise: boolOption(options, "fluentd-sub-second-precision"),
    acknowledged: boolOption(options, "fluentd-request-ack"),
    writeTimeoutMs: writeTimeout(options[WRITE_TIMEOUT] ?? ""),
    bufferBytes,
    retryMs: isAsync && reconnectMs !== undefined ? reconnectMs : retryMs,
    ...(retries !== undefined && { attemptsMax: retries + 1 }),
  };
}

function endpointOf(given: string): Endpoint {
  if (given === "") return { kind: "tcp", host: "127.0.0.1", port: PORT };
  const fail = (why: string, cause?: unknown) =>
    invalid(`invalid ${ADDRESS} (${given}): ${why}`, cause);
  const text = given.includes("://") ? given : `tcp://${given}`;
  try {
    const { scheme, host, port, path } = parseAddress(text);
    if (scheme === "unix") {
      if (path.replace(/^\/+$/, "") === "") throw new Error("path is empty");
      return { kind: "unix", path };
    }
    if (scheme !== "tcp" && scheme !== "tls") throw new Error(`unsupported scheme: '${scheme}'`);
    if (path !== "") throw new Error("should not contain a path element");
    const at = { kind: "tcp" as const, host: host || "127.0.0.1" };
    const number = port === "" ? PORT : portNumber(port);
    return { ...at, port: number, ...(scheme === "tls" && { tls: {} }) };
  } catch (cause) {
    throw fail(messageOf(cause), cause);
  }
}

function reconnectInterval(text: string): number | undefined {
  if (text === "") return undefined;
  const what = `invalid value for ${RECONNECT}:`;
  let milliseconds: number;
  try {
    milliseconds = durationMs(text);
  } catch (cause) {
    throw invalid(`${what} ${messageOf(cause)}`, cause);
  }
  if (
    milliseconds !== 0 &&
    !(milliseconds >= RECONNECT_MS_MIN && milliseconds <= RECONNECT_MS_MAX)
  ) {
    throw invalid(`${what} value (${JSON.stringify(text)}) must be between 100ms and 10s`);
  }
  return milliseconds || undefined;
}

function writeTimeout(text: string): number {
  if (text === "") return 0;
  const what = `invalid value for ${WRITE_TIMEOUT}: value must be a duration`;
  let milliseconds: number;
  try {
    milliseconds = durationMs(text);
  } catch (cause) {
    throw invalid(`${what}: ${messageOf(cause)}`, cause);
  }
  if (milliseconds < 0) throw invalid(`${what} that is non-negative`);
  return milliseconds;
}

type Parsed = ReturnType<typeof parse>;

class FluentdSink implements LogSink {
  readonly limits: SinkLimits;
  readonly connect?: (signal: AbortSignal) => Promise<void>;
  readonly #o: Parsed;
  readonly #tag: string;
  readonly #names: FluentRecord;
  readonly #extra: FluentRecord;
  readonly #stream: StreamSender;

  constructor(c: LogInfo, o: Parsed) {
    this.#o = o;
    this.#tag = logTag(c, "{{.ID}}");
    this.#names = { container_id: c.id, container_name: `/${c.name}` };
    this.#extra = extraAttributes(c);
    this.#stream = new StreamSender(o.endpoint, {
      replays: !o.acknowledged,
      ...(o.writeTimeoutMs > 0 && { stallMs: o.writeTimeoutMs }),
    });
    if (!o.isAsync) this.connect = (signal) => this.#stream.connect(signal);
    this.limits = {
      linesMax: LINES_MAX,
      bytesMax: Math.min(o.bufferBytes, BATCH_BYTES_MAX),
      lingerMs: 0,
      retryMs: o.retryMs,
      ...(o.attemptsMax !== undefined && { attemptsMax: o.attemptsMax }),
    };
  }

  async send(lines: readonly LogEntry[], { signal }: SendOptions): Promise<number> {
    const { acknowledged, precise } = this.#o;
    const chunk = acknowledged ? randomBytes(CHUNK_ID_BYTES).toString("base64") : undefined;
    const entries = lines.map((line) => {
      const { stream, timeNano, text } = line;
      // Labels and variables win over what has the same name, as with dockerd.
      const own = { source: stream, log: text.toString(), ...this.#extra };
      const record = { ...this.#names, ...own, ...partialFields(line) };
      return [eventTime(timeNano, { precise }), record] as const;
    });
    const message = Buffer.from(forwardMessage(this.#tag, entries, chunk));
    if (chunk === undefined) await this.#stream.send(message, signal, lines.length);
    else await this.#stream.exchange(message, (answers) => isAcknowledged(answers, chunk), signal);
    return lines.length;
  }

  async farewell(signal: AbortSignal): Promise<void> {
    await this.#stream.farewell(signal);
  }

  unsureLines(o: { closing: boolean }): number {
    return this.#stream.unsureLines(o);
  }

  close(): void {
    this.#stream.close();
  }
}

/** Throws for any answer but the one that is due. */
async function isAcknowledged(answers: AsyncIterable<Uint8Array>, chunk: string): Promise<void> {
  const limits = { maxStrLength: 256, maxMapLength: 16, context: undefined };
  for await (const answer of decodeMultiStream<undefined>(answers, limits)) {
    if ((answer as { ack?: unknown } | null)?.ack === chunk) return;
    throw new GantryError("unavailable", "fluentd: the receiver acknowledged what was not sent");
  }
  throw new GantryError("unavailable", "fluentd: the receiver closed without an acknowledgement");
}
