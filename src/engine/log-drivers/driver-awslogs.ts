// The awslogs driver: CloudWatch Logs. A stream for each container; events of one or, with a
// pattern, many lines. An answer of 200 acknowledges a batch.

import { GantryError, type Logger, messageOf } from "../../base/index.ts";
import { type LogInfo, logTag } from "../logs/attributes.ts";
import type { LogEntry } from "../logs/contract.ts";
import { compileSearch } from "../logs/search.ts";
import { Turns } from "../logs/turns.ts";
import { AwsError, AwsLogsClient, type AwsOptions, instanceRegion } from "./aws-client.ts";
import { CALL_EVENTS_MAX, datetimePattern, eventsOf, oneCall } from "./aws-events.ts";
import {
  type LogDriver,
  type LogDriverOptions,
  type LogSink,
  RefusedLines,
  type SendOptions,
  type SinkLimits,
} from "./contract.ts";
import { boolOption, driverOptions, invalid, refuseUnknown, wholeNumber } from "./options.ts";

const GROUP = "awslogs-group";
const CREATE_GROUP = "awslogs-create-group";
const CREATE_STREAM = "awslogs-create-stream";
const DATETIME = "awslogs-datetime-format";
const MULTILINE = "awslogs-multiline-pattern";
const FLUSH_SECONDS = "awslogs-force-flush-interval-seconds";
const BUFFERED_EVENTS = "awslogs-max-buffered-events";
const FORMAT = "awslogs-format";
const EMF = "json/emf";
const OPTIONS = [
  ...[GROUP, CREATE_GROUP, CREATE_STREAM, DATETIME, MULTILINE, FLUSH_SECONDS, BUFFERED_EVENTS],
  ...[FORMAT, "awslogs-region", "awslogs-stream", "awslogs-endpoint"],
  ...["awslogs-credentials-endpoint", "tag"],
];
const FLUSH_MS = 5000;
const BYTES_MAX = 900 * 1024;
/** Of a line, for a pattern: what begins an event stands at its beginning. */
const MATCHED_BYTES_MAX = 2048;
/** The service has read the call and will never take it. */
const REFUSED = ["InvalidParameterException", "SerializationException", "ValidationException"];

export const awslogsDriver: LogDriver = {
  name: "awslogs",
  validate,
  async open(c, { log }) {
    const begins = multilineMatcher(driverOptions(c));
    return new AwslogsSink(c, { log, begins });
  },
};

function validate(options: LogDriverOptions): void {
  refuseUnknown(options, OPTIONS, (key) => `unknown log opt '${key}' for awslogs log driver`);
  if (!options[GROUP]) throw invalid(`must specify a value for log opt '${GROUP}'`);
  for (const key of [CREATE_GROUP, CREATE_STREAM]) {
    try {
      boolOption(options, key);
    } catch (cause) {
      throw invalid(`must specify valid value for log opt '${key}': ${messageOf(cause)}`, cause);
    }
  }
  for (const key of [FLUSH_SECONDS, BUFFERED_EVENTS]) {
    const text = options[key];
    if (text === undefined || text === "" || (wholeNumber(text) ?? 0) > 0) continue;
    throw invalid(`must specify a positive integer for log opt '${key}': ${text}`);
  }
  const format = options[FORMAT] ?? "";
  const isMultiline = options[DATETIME] !== undefined || options[MULTILINE] !== undefined;
  if (options[DATETIME] !== undefined && options[MULTILINE] !== undefined) {
    throw invalid(`you cannot configure log opt '${DATETIME}' and '${MULTILINE}' at the same time`);
  }
  if (format !== "" && format !== EMF) throw invalid(`unsupported log format '${format}'`);
  if (format === EMF && isMultiline) {
    const what = `you cannot configure log opt '${DATETIME}' or '${MULTILINE}'`;
    throw invalid(`${what} when log opt '${FORMAT}' is set to '${EMF}'`);
  }
}

/** Patterns run in linear time: they and the lines are of strangers. */
function multilineMatcher(options: LogDriverOptions): ((line: string) => boolean) | undefined {
  const datetime = options[DATETIME] ?? "";
  const pattern = datetime === "" ? (options[MULTILINE] ?? "") : datetimePattern(datetime);
  if (pattern === "") return undefined;
  try {
    return compileSearch(pattern);
  } catch (cause) {
    const what = `awslogs could not parse multiline pattern key ${JSON.stringify(pattern)}`;
    throw invalid(`${what}: ${messageOf(cause)}`, cause);
  }
}

class AwslogsSink implements LogSink {
  readonly limits: SinkLimits;
  readonly #options: LogDriverOptions;
  readonly #log: Logger;
  readonly #begins: ((line: string) => boolean) | undefined;
  readonly #beginning = new WeakMap<LogEntry, boolean>();
  readonly #names: { logGroupName: string; logStreamName: string };
  #client: AwsLogsClient | undefined;
  #isMade = false;

  constructor(c: LogInfo, o: { log: Logger; begins: ((line: string) => boolean) | undefined }) {
    const options = driverOptions(c);
    this.#options = options;
    this.#log = o.log;
    this.#begins = o.begins;
    const logStreamName = options["awslogs-stream"] || logTag(c, "{{.FullID}}");
    this.#names = { logGroupName: options[GROUP] ?? "", logStreamName };
    const seconds = wholeNumber(options[FLUSH_SECONDS] ?? "");
    const events = wholeNumber(options[BUFFERED_EVENTS] ?? "") ?? CALL_EVENTS_MAX;
    this.limits = {
      linesMax: Math.min(events, CALL_EVENTS_MAX),
      bytesMax: BYTES_MAX,
      lingerMs: seconds === undefined ? FLUSH_MS : seconds * 1000,
    };
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#isMade) return;
    this.#client ??= new AwsLogsClient(await this.#clientOptions(signal));
    if (boolOption(this.#options, CREATE_STREAM, true)) {
      try {
        await this.#create(signal);
      } catch (cause) {
        signal.throwIfAborted();
        const what = "failed to create Cloudwatch log stream";
        throw new GantryError("unavailable", `${what}: ${messageOf(cause)}`, { cause });
      }
    }
    this.#isMade = true;
  }

  async send(lines: readonly LogEntry[], { flush, signal }: SendOptions): Promise<number> {
    await this.connect(signal);
    const begins = await this.#beginnings(lines, signal);
    const { events, taken } = eventsOf(lines, { flush, begins });
    for (let rest = events; rest.length > 0; ) {
      const call = oneCall(rest);
      rest = rest.slice(call.length);
      await this.#put(call, signal);
    }
    return taken;
  }

  close(): void {
    this.#client?.close();
  }

  /** Which lines begin an event. Each is looked at once, and others have their turn meanwhile. */
  async #beginnings(lines: readonly LogEntry[], signal: AbortSignal) {
    const begins = this.#begins;
    if (!begins) return undefined;
    const turns = new Turns();
    for (const line of lines) {
      if (this.#beginning.has(line)) continue;
      this.#beginning.set(line, begins(line.text.toString("utf8", 0, MATCHED_BYTES_MAX)));
      if (turns.isOver) await turns.next();
      signal.throwIfAborted();
    }
    return (line: LogEntry) => this.#beginning.get(line) === true;
  }

  async #put(logEvents: object[], signal: AbortSignal): Promise<void> {
    const emf = this.#options[FORMAT] === EMF;
    const headers: Record<string, string> = emf ? { "x-amzn-logs-format": EMF } : {};
    const input = { ...this.#names, logEvents };
    try {
      const answer = await this.#client!.call("PutLogEvents", input, { signal, headers });
      const rejected = answer["rejectedLogEventsInfo"];
      if (rejected) {
        this.#log.warn("CloudWatch Logs rejected events as too old or too new", { rejected });
      }
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      if (error.code === "DataAlreadyAcceptedException") return;
      if (error.code === "ResourceNotFoundException") this.#isMade = false;
      if (REFUSED.includes(error.code)) throw new RefusedLines(error.message);
      throw error;
    }
  }

  async #create(signal: AbortSignal): Promise<void> {
    try {
      await this.#createUnlessThere("CreateLogStream", this.#names, signal);
    } catch (error) {
      const isMissing = error instanceof AwsError && error.code === "ResourceNotFoundException";
      if (!isMissing || !boolOption(this.#options, CREATE_GROUP)) throw error;
      const { logGroupName } = this.#names;
      await this.#createUnlessThere("CreateLogGroup", { logGroupName }, signal);
      await this.#createUnlessThere("CreateLogStream", this.#names, signal);
    }
  }

  async #createUnlessThere(
    action: "CreateLogGroup" | "CreateLogStream",
    input: object,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#client!.call(action, input, { signal });
    } catch (error) {
      const isThere = error instanceof AwsError && error.code === "ResourceAlreadyExistsException";
      if (!isThere) throw error;
    }
  }

  async #clientOptions(signal: AbortSignal): Promise<AwsOptions> {
    const given = this.#options["awslogs-region"] || process.env["AWS_REGION"];
    return {
      region: given || (await this.#regionHere(signal)),
      endpoint: this.#options["awslogs-endpoint"],
      credentialsPath: this.#options["awslogs-credentials-endpoint"],
    };
  }

  async #regionHere(signal: AbortSignal): Promise<string> {
    try {
      return await instanceRegion(signal);
    } catch (cause) {
      signal.throwIfAborted();
      const what = "cannot determine region for awslogs driver";
      throw new GantryError("unavailable", `${what}: ${messageOf(cause)}`, { cause });
    }
  }
}
