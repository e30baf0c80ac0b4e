// The splunk driver: batches to the HTTP Event Collector, in the three formats of dockerd. An
// answer of 200 acknowledges a batch; with splunk-index-acknowledgment it is asked for until the
// batch is indexed, which dockerd's own driver leaves to chance.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { ConnectionOptions } from "node:tls";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { errnoOf, GantryError, messageOf, parseDuration } from "../../base/index.ts";
import { extraAttributes, type LogInfo, logTag } from "../logs/attributes.ts";
import type { LogEntry } from "../logs/contract.ts";
import {
  type LogDriver,
  type LogDriverOptions,
  type LogSink,
  RefusedLines,
  type SendOptions,
  type SinkLimits,
} from "./contract.ts";
import { type HttpAnswer, HttpSender } from "./http-post.ts";
import { joinParts } from "./join-parts.ts";
import {
  boolOption,
  driverOptions,
  invalid,
  parseAddress,
  refuseUnknown,
  TAG_OPTIONS,
} from "./options.ts";

const OPTIONS = [
  ...["splunk-url", "splunk-token", "splunk-source", "splunk-sourcetype", "splunk-index"],
  ...["splunk-capath", "splunk-caname", "splunk-insecureskipverify", "splunk-format"],
  ...["splunk-verify-connection", "splunk-gzip", "splunk-gzip-level"],
  ...["splunk-index-acknowledgment", ...TAG_OPTIONS],
];
const EVENT_PATH = "/services/collector/event/1.0";
const ACK_PATH = "/services/collector/ack";
const LEVEL_MIN = -1;
const LEVEL_MAX = 9;
/** Dockerd's, and the variables of its environment that change them. */
const FREQUENCY_MS = 5000;
const BATCH_LINES = 1000;
const BATCH_BYTES_MAX = 512 * 1024;
/** A line is put together from its parts up to this size, as dockerd's driver reads it. */
const LINE_BYTES_MAX = 80 * 1024;
const ACK_POLL_MS = 1000;
const ACK_POLLS_MAX = 120;
const STATUS_OK = 200;
/** The collector has read the batch and finds it too large, or its events wrong: by its own codes,
 * since 400 is also said of an index or a channel that is not set up, which people repair. */
const TOO_LARGE = 413;
const WRONG = 400;
const WRONG_CODES = [5, 6, 12, 13, 15];

const pack = promisify(gzip);

export const splunkDriver: LogDriver = {
  name: "splunk",
  validate(options) {
    refuseUnknown(options, OPTIONS, (key) => `unknown log opt '${key}' for splunk log driver`);
  },
  async open(c) {
    const o = parse(driverOptions(c));
    return new SplunkSink(c, o, await tlsOptions(driverOptions(c)));
  },
};

/** All of it is looked at when a container starts: dockerd's create takes anything. */
function parse(options: LogDriverOptions) {
  const url = urlOf(options["splunk-url"]);
  const token = options["splunk-token"];
  if (token === undefined) throw invalid("splunk: splunk-token is expected");
  boolOption(options, "splunk-insecureskipverify");
  const format = options["splunk-format"] ?? "inline";
  const parsed = {
    url,
    token,
    compressed: boolOption(options, "splunk-gzip"),
    level: gzipLevel(options["splunk-gzip-level"]),
    acknowledged: boolOption(options, "splunk-index-acknowledgment"),
    verifies: boolOption(options, "splunk-verify-connection", true),
    format: format as "inline" | "json" | "raw",
  };
  if (!["inline", "json", "raw"].includes(format)) {
    throw invalid(`unknown format specified ${format}, supported formats are inline, json and raw`);
  }
  return parsed;
}

function urlOf(text: string | undefined): string {
  if (text === undefined) throw invalid("splunk: splunk-url is expected");
  const form = "splunk: expected format scheme://dns_name_or_ip:port for splunk-url";
  const { scheme, host, port, path } = parseAddress(text);
  const isUrl = (scheme === "http" || scheme === "https") && host !== "";
  if (!isUrl || !["", "/"].includes(path)) throw invalid(form);
  const named = host.includes(":") ? `[${host}]` : host;
  return `${scheme}://${named}${port === "" ? "" : `:${port}`}`;
}

function gzipLevel(text: string | undefined): number {
  if (text === undefined) return LEVEL_MIN;
  if (!/^[-+]?\d+$/.test(text)) {
    throw invalid(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  const level = Number(text);
  if (level >= LEVEL_MIN && level <= LEVEL_MAX) return level;
  const range = `(supported values between ${LEVEL_MIN} and ${LEVEL_MAX})`;
  throw invalid(`not supported level '${text}' for splunk-gzip-level ${range}`);
}

async function tlsOptions(options: LogDriverOptions): Promise<ConnectionOptions> {
  const path = options["splunk-capath"];
  const name = options["splunk-caname"];
  const skips = boolOption(options, "splunk-insecureskipverify");
  return {
    ...(path !== undefined && { ca: await readCa(path) }),
    ...(name !== undefined && { servername: name }),
    ...(skips && { rejectUnauthorized: false }),
  };
}

async function readCa(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const why = errnoOf(cause) === "ENOENT" ? "no such file or directory" : messageOf(cause);
    throw invalid(`open ${path}: ${why}`, cause);
  }
}

type Parsed = ReturnType<typeof parse>;

class SplunkSink implements LogSink {
  readonly limits: SinkLimits;
  readonly connect?: (signal: AbortSignal) => Promise<void>;
  readonly #o: Parsed;
  readonly #http: HttpSender;
  readonly #channel = randomUUID();
  readonly #common: Record<string, string>;
  readonly #tag: string;
  readonly #attributes: Record<string, string>;

  constructor(c: LogInfo, o: Parsed, tls: ConnectionOptions) {
    const options = driverOptions(c);
    this.#o = o;
    // An empty tag means none.
    this.#tag = options["tag"] === "" ? "" : logTag(c, "{{.ID}}");
    this.#attributes = extraAttributes(c);
    this.#common = {
      host: hostname(),
      ...given("source", options["splunk-source"]),
      ...given("sourcetype", options["splunk-sourcetype"]),
      ...given("index", options["splunk-index"]),
    };
    this.limits = {
      linesMax: batchLines(),
      bytesMax: BATCH_BYTES_MAX,
      lingerMs: frequencyMs(),
    };
    this.#http = new HttpSender({ tls });
    if (o.verifies) this.connect = (signal) => this.#verify(signal);
  }

  async send(lines: readonly LogEntry[], { flush, signal }: SendOptions): Promise<number> {
    const { joined, taken } = joinParts(lines, { bytesMax: LINE_BYTES_MAX, flush });
    const events = joined.flatMap((line) => this.#event(line));
    if (events.length === 0) return taken;
    const answer = await this.#post(EVENT_PATH, events.join(""), signal);
    if (answer.status !== STATUS_OK) throw failedToSend(answer);
    if (this.#o.acknowledged) await this.#awaitIndexed(answer, signal);
    return taken;
  }

  close(): void {
    this.#http.close();
  }

  async #verify(signal: AbortSignal): Promise<void> {
    const url = this.#o.url + EVENT_PATH;
    const answer = await this.#http.call({ method: "OPTIONS", url, signal });
    if (answer.status === STATUS_OK) return;
    const what = `splunk: failed to verify connection - ${answer.statusText}`;
    throw new GantryError("unavailable", `${what} - ${answer.body.subarray(0, 1024)}`);
  }

  #event({ stream, timeNano, text }: LogEntry): string[] {
    const micros = String(timeNano / 1000n).padStart(7, "0");
    const time = `${micros.slice(0, -6)}.${micros.slice(-6)}`;
    const event = this.#payload(stream, text.toString());
    return event === undefined ? [] : [JSON.stringify({ event, time, ...this.#common })];
  }

  #payload(stream: string, line: string): unknown {
    const attrs = this.#attributes;
    if (this.#o.format === "raw") {
      if (line.trim() === "") return undefined; // the collector takes no empty event
      const named = Object.entries(attrs).map(([key, value]) => `${key}=${value}`);
      return [this.#tag, ...named, line].filter((part) => part !== "").join(" ");
    }
    return {
      line: this.#o.format === "json" ? jsonOr(line) : line,
      source: stream,
      ...given("tag", this.#tag),
      ...(Object.keys(attrs).length > 0 && { attrs }),
    };
  }

  async #post(path: string, text: string, signal: AbortSignal): Promise<HttpAnswer> {
    const { token, compressed, level, acknowledged, url } = this.#o;
    return await this.#http.call({
      method: "POST",
      url: url + path,
      headers: {
        authorization: `Splunk ${token}`,
        ...(compressed && { "content-encoding": "gzip" }),
        ...(acknowledged && { "x-splunk-request-channel": this.#channel }),
      },
      body: compressed ? await pack(text, { level }) : text,
      signal,
    });
  }

  /** A batch that is not indexed within two minutes is sent again. */
  async #awaitIndexed({ body }: HttpAnswer, signal: AbortSignal): Promise<void> {
    const { ackId } = jsonOr(body.toString()) as { ackId?: unknown };
    if (typeof ackId !== "number") {
      throw new GantryError("unavailable", "splunk: the collector acknowledges no events");
    }
    for (let poll = 0; poll < ACK_POLLS_MAX; poll++) {
      const answer = await this.#post(ACK_PATH, JSON.stringify({ acks: [ackId] }), signal);
      if (answer.status !== STATUS_OK) throw failedToSend(answer);
      const { acks } = jsonOr(answer.body.toString()) as { acks?: Record<string, unknown> };
      if (acks?.[String(ackId)] === true) return;
      await delay(ACK_POLL_MS, undefined, { signal });
    }
    throw new GantryError("timeout", "splunk: the events were not indexed in time");
  }
}

function failedToSend({ status, statusText, body }: HttpAnswer): Error {
  const what = `splunk: failed to send event - ${statusText} - ${body.subarray(0, 1024)}`;
  const { code } = (jsonOr(body.toString()) ?? {}) as { code?: number };
  const isWrong = status === WRONG && WRONG_CODES.includes(code ?? -1);
  const isRefused = status === TOO_LARGE || isWrong;
  return isRefused ? new RefusedLines(what) : new GantryError("unavailable", what);
}

function given(key: string, value: string | undefined): Record<string, string> {
  return value === undefined || value === "" ? {} : { [key]: value };
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function frequencyMs(): number {
  const text = process.env["SPLUNK_LOGGING_DRIVER_POST_MESSAGES_FREQUENCY"] ?? "";
  try {
    return text === "" ? FREQUENCY_MS : Math.max(0, parseDuration(text) / 1e6);
  } catch {
    return FREQUENCY_MS;
  }
}

function batchLines(): number {
  const text = process.env["SPLUNK_LOGGING_DRIVER_POST_MESSAGES_BATCH_SIZE"] ?? "";
  return /^[1-9]\d{0,5}$/.test(text) ? Number(text) : BATCH_LINES;
}
