// The gelf driver: Graylog's JSON messages over UDP (compressed, in chunks where they are large) or
// over TCP (each ended by a zero byte). Neither acknowledges: what is said in driver-syslog.ts of
// datagrams and streams holds here, too.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { deflate, gzip } from "node:zlib";
import { GantryError, messageOf } from "../../base/index.ts";
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
import { type DatagramSender, openUdp } from "./datagram.ts";
import {
  driverOptions,
  hostPort,
  invalid,
  parseAddress,
  refuseUnknown,
  TAG_OPTIONS,
  wholeNumber,
} from "./options.ts";
import { StreamSender } from "./stream-sender.ts";
import { SEVERITY } from "./syslog-message.ts";

const MAX_RECONNECT = "gelf-tcp-max-reconnect";
const RECONNECT_DELAY = "gelf-tcp-reconnect-delay";
const LEVEL = "gelf-compression-level";
const TYPE = "gelf-compression-type";
const OPTIONS = ["gelf-address", LEVEL, TYPE, MAX_RECONNECT, RECONNECT_DELAY, ...TAG_OPTIONS];

/** What fits into a datagram that no router takes apart, as Graylog's own clients cut it. */
const CHUNK_BYTES = 1420 - 12;
const CHUNKS_MAX = 128;
const CHUNK_MAGIC = [0x1e, 0x0f];
const CHUNK_ID_BYTES = 8;
const LEVEL_MIN = -1;
const LEVEL_MAX = 9;
const LEVEL_DEFAULT = 1; // fastest, as dockerd
const RECONNECT_DELAY_SECONDS = 1;

const compress = { gzip: promisify(gzip), zlib: promisify(deflate) };

export const gelfDriver: LogDriver = {
  name: "gelf",
  validate: (options) => void parse(options),
  open: (c) => new GelfSink(c, parse(driverOptions(c))),
};

function parse(options: LogDriverOptions) {
  const given = options["gelf-address"] ?? "";
  if (given === "") throw invalid("gelf-address is a required parameter");
  const { scheme, host, port } = parseAddress(given);
  if (scheme !== "udp" && scheme !== "tcp") {
    throw invalid("gelf: endpoint needs to be TCP or UDP");
  }
  if (port === "") throw invalid("gelf: please provide gelf-address as proto://host:port");
  checkTransport(options, scheme);
  const word = (key: string) => `unknown log opt ${JSON.stringify(key)} for gelf log driver`;
  refuseUnknown(options, OPTIONS, word);
  const attempts = wholeNumber(options[MAX_RECONNECT] ?? "");
  return {
    scheme,
    host,
    port: Number(port),
    type: (options[TYPE] ?? "gzip") as "gzip" | "zlib" | "none",
    level: wholeNumber(options[LEVEL] ?? "") ?? LEVEL_DEFAULT,
    ...(attempts !== undefined && { attemptsMax: attempts + 1 }),
    retryMs: 1000 * (wholeNumber(options[RECONNECT_DELAY] ?? "") ?? RECONNECT_DELAY_SECONDS),
  };
}

function checkTransport(options: LogDriverOptions, scheme: "udp" | "tcp"): void {
  for (const key of [MAX_RECONNECT, RECONNECT_DELAY]) {
    const text = options[key];
    if (text === undefined) continue;
    if (scheme !== "tcp") throw invalid(`${JSON.stringify(key)} is only valid for TCP`);
    const number = wholeNumber(text);
    if (number === undefined || number < 0) {
      throw invalid(`${JSON.stringify(key)} must be a positive integer`);
    }
  }
  for (const key of [LEVEL, TYPE]) {
    const text = options[key];
    if (text === undefined) continue;
    if (scheme !== "udp") throw invalid("compression is only supported on UDP");
    const level = wholeNumber(text) ?? LEVEL_MAX + 1;
    const isKnown =
      key === TYPE
        ? ["gzip", "zlib", "none"].includes(text)
        : level >= LEVEL_MIN && level <= LEVEL_MAX;
    if (isKnown) continue;
    const what = `unknown value ${JSON.stringify(text)} for log opt ${JSON.stringify(key)}`;
    throw invalid(`${what} for gelf log driver`);
  }
}

type Parsed = ReturnType<typeof parse>;

class GelfSink implements LogSink {
  readonly limits: SinkLimits;
  readonly #o: Parsed;
  readonly #extra: Record<string, string>;
  readonly #hostname = hostname();
  readonly #stream: StreamSender | undefined;
  #datagrams: DatagramSender | undefined;

  constructor(c: LogInfo, o: Parsed) {
    this.#o = o;
    this.#extra = extraFields(c);
    const { attemptsMax, retryMs, host, port } = o;
    this.limits = {
      linesMax: 500,
      bytesMax: 256 * 1024,
      lingerMs: 0,
      ...(o.scheme === "tcp" && { retryMs }),
      ...(attemptsMax !== undefined && { attemptsMax }),
    };
    if (o.scheme === "tcp") {
      this.#stream = new StreamSender({ kind: "tcp", host: host || "localhost", port });
    }
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { host, port } = this.#o;
    try {
      if (this.#stream) await this.#stream.connect(signal);
      else this.#datagrams ??= await openUdp(host, port, signal);
    } catch (cause) {
      signal.throwIfAborted();
      const what = `gelf: cannot connect to GELF endpoint: ${hostPort(host, port)}`;
      throw new GantryError("unavailable", `${what} ${messageOf(cause)}`, { cause });
    }
  }

  async send(lines: readonly LogEntry[], { signal }: SendOptions): Promise<number> {
    await this.connect(signal);
    if (this.#stream) {
      const messages = lines.map((line) => `${JSON.stringify(this.#message(line))}\0`);
      await this.#stream.send(Buffer.from(messages.join("")), signal, lines.length);
      return lines.length;
    }
    let sent = 0;
    try {
      for (; sent < lines.length; sent++) {
        signal.throwIfAborted();
        await this.#datagrams!.send(await this.#datagramsOf(lines[sent]!), signal);
      }
    } catch (error) {
      if (sent === 0) throw error; // what is sent already is not sent again
    }
    return sent;
  }

  async farewell(signal: AbortSignal): Promise<void> {
    await this.#stream?.farewell(signal);
  }

  unsureLines(o: { closing: boolean }): number {
    return this.#stream?.unsureLines(o) ?? 0;
  }

  close(): void {
    this.#stream?.close();
    this.#datagrams?.close();
  }

  #message({ stream, timeNano, text }: LogEntry): object {
    return {
      version: "1.1",
      host: this.#hostname,
      short_message: text.toString(),
      timestamp: Number(timeNano / 1_000_000n) / 1000,
      level: SEVERITY[stream],
      ...this.#extra,
    };
  }

  async #datagramsOf(line: LogEntry): Promise<Buffer[]> {
    const { type, level } = this.#o;
    const plain = Buffer.from(JSON.stringify(this.#message(line)));
    const packed = type === "none" ? plain : await compress[type](plain, { level });
    if (packed.length <= CHUNK_BYTES) return [packed];
    const count = Math.ceil(packed.length / CHUNK_BYTES);
    if (count > CHUNKS_MAX) {
      throw new RefusedLines(`a message of ${packed.length} bytes needs more than 128 chunks`);
    }
    const id = randomBytes(CHUNK_ID_BYTES);
    return Array.from({ length: count }, (_, number) => {
      const head = Buffer.from([...CHUNK_MAGIC, ...id, number, count]);
      const from = number * CHUNK_BYTES;
      return Buffer.concat([head, packed.subarray(from, from + CHUNK_BYTES)]);
    });
  }
}

function extraFields(c: LogInfo): Record<string, string> {
  return {
    _container_id: c.id,
    _container_name: c.name,
    _image_id: c.imageId,
    _image_name: c.imageName,
    _command: [c.path, ...c.args].join(" "),
    _tag: logTag(c, "{{.ID}}"),
    _created: c.created,
    ...extraAttributes(c, (key) => (key.startsWith("_") ? key : `_${key}`)),
  };
}
