// The syslog driver: UDP, TCP, TLS and unix sockets of both kinds, in the formats and with the tag
// of dockerd. No syslog transport acknowledges: over a stream the last moments before a break are
// sent again (stream-sender.ts), a datagram is done with when it is sent.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { ConnectionOptions } from "node:tls";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import { type LogInfo, logTag } from "../logs/attributes.ts";
import type { LogEntry } from "../logs/contract.ts";
import type { LogDriver, LogDriverOptions, LogSink, SendOptions, SinkLimits } from "./contract.ts";
import { type DatagramSender, openUdp, openUnixDatagram } from "./datagram.ts";
import { driverOptions, invalid, parseAddress, refuseUnknown, TAG_OPTIONS } from "./options.ts";
import { StreamSender } from "./stream-sender.ts";
import {
  facilityNumber,
  frameMessage,
  SEVERITY,
  SYSLOG_FORMATS,
  type SyslogFormat,
  syslogHeader,
} from "./syslog-message.ts";

const OPTIONS = [
  ...["syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert"],
  ...["syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"],
  ...TAG_OPTIONS,
];
const SCHEMES = ["unix", "unixgram", "udp", "tcp", "tcp+tls"];
const PORT = "514";
/** Where the system's own syslog daemon listens, by the kinds of its socket. */
const LOCAL_PATHS = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const LIMITS: SinkLimits = { linesMax: 1000, bytesMax: 256 * 1024, lingerMs: 0 };
const PRIORITY_BITS = 3;

type Target = { scheme: string; host: string; port: number; path: string };

export const syslogDriver: LogDriver = {
  name: "syslog",
  validate(options) {
    refuseUnknown(options, OPTIONS, (key) => `unknown log opt '${key}' for syslog log driver`);
    parse(options);
  },
  async open(c) {
    const { target, facility, format } = parse(driverOptions(c));
    const tls = target?.scheme === "tcp+tls" ? await tlsOptions(driverOptions(c)) : undefined;
    return new SyslogSink(c, { target, tls, facility, format });
  },
};

function parse(options: LogDriverOptions) {
  const target = targetOf(options["syslog-address"] ?? "");
  const facility = facilityNumber(options["syslog-facility"]);
  if (facility === undefined) throw invalid("invalid syslog facility");
  const format = (options["syslog-format"] ?? "") as SyslogFormat;
  if (!SYSLOG_FORMATS.includes(format)) throw invalid("Invalid syslog format");
  return { target, facility, format };
}

/** Undefined: the system's own. */
function targetOf(text: string): Target | undefined {
  if (text === "") return undefined;
  const { scheme, host, port, path } = parseAddress(text);
  if (!SCHEMES.includes(scheme)) throw invalid(`unsupported scheme: '${scheme}'`);
  if (scheme.startsWith("unix")) {
    const full = host + path;
    if (!existsSync(full)) throw invalid(`stat ${full}: no such file or directory`);
    return { scheme, host: "", port: 0, path: full };
  }
  return { scheme, host, port: Number(port || PORT), path: "" };
}

async function tlsOptions(options: LogDriverOptions): Promise<ConnectionOptions> {
  const [ca, cert, key] = await Promise.all([
    readPem(options["syslog-tls-ca-cert"], "could not read CA certificate"),
    readPem(options["syslog-tls-cert"], "Could not load X509 key pair:"),
    readPem(options["syslog-tls-key"], "Could not load X509 key pair:"),
  ]);
  // Its mere presence is what counts, as with dockerd.
  const rejectUnauthorized = options["syslog-tls-skip-verify"] === undefined;
  return { rejectUnauthorized, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

async function readPem(path: string | undefined, what: string): Promise<Buffer | undefined> {
  if (path === undefined || path === "") return undefined;
  try {
    return await readFile(path);
  } catch (cause) {
    const why = errnoOf(cause) === "ENOENT" ? "no such file or directory" : messageOf(cause);
    throw invalid(`${what} ${JSON.stringify(path)}: open ${path}: ${why}`, cause);
  }
}

type Opened = {
  target: Target | undefined;
  tls: ConnectionOptions | undefined;
  facility: number;
  format: SyslogFormat;
};

class SyslogSink implements LogSink {
  readonly limits = LIMITS;
  readonly #o: Opened;
  readonly #tag: string;
  readonly #hostname = hostname();
  #stream: StreamSender | undefined;
  #datagrams: DatagramSender | undefined;

  constructor(c: LogInfo, o: Opened) {
    this.#o = o;
    this.#tag = logTag(c, "{{.ID}}");
    const { target } = o;
    if (target && ["tcp", "tcp+tls", "unix"].includes(target.scheme)) {
      this.#stream = new StreamSender(endpointOf(target, o.tls));
    }
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#stream) return await this.#stream.connect(signal);
    const { target } = this.#o;
    if (this.#datagrams) return;
    if (!target) await this.#connectLocal(signal);
    else if (target.scheme === "udp") {
      this.#datagrams = await openUdp(target.host, target.port, signal);
    } else this.#datagrams = await openUnixDatagram(target.path, signal);
  }

  async send(lines: readonly LogEntry[], { signal }: SendOptions): Promise<number> {
    await this.connect(signal);
    const messages = lines.map((line) => this.#message(line));
    if (!this.#stream) return await this.#sendDatagrams(messages, signal);
    await this.#stream.send(Buffer.concat(messages), signal, lines.length);
    return lines.length;
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

  #message({ stream, timeNano, text }: LogEntry): Buffer {
    const { facility, format, target, tls } = this.#o;
    const header = syslogHeader(timeNano, {
      format,
      priority: (facility << PRIORITY_BITS) | SEVERITY[stream],
      hostname: this.#hostname,
      tag: this.#tag,
      pid: process.pid,
    });
    const counted = tls !== undefined && format.startsWith("rfc5424");
    return frameMessage(header, text, counted && target !== undefined);
  }

  /** The system's syslog daemon may be started anew, with a new socket at its old place. */
  async #sendDatagrams(messages: readonly Buffer[], signal: AbortSignal): Promise<number> {
    try {
      return await this.#datagrams!.send(messages, signal);
    } catch (error) {
      this.#datagrams!.close();
      this.#datagrams = undefined;
      throw error;
    }
  }

  /** A datagram socket is tried before a stream, each at every place. */
  async #connectLocal(signal: AbortSignal): Promise<void> {
    for (const path of LOCAL_PATHS) {
      this.#datagrams = await openUnixDatagram(path, signal).catch(() => undefined);
      if (this.#datagrams) return;
    }
    for (const path of LOCAL_PATHS) {
      const stream = new StreamSender({ kind: "unix", path });
      const isThere = await stream.connect(signal).then(
        () => true,
        () => false,
      );
      if (!isThere) continue;
      this.#stream = stream;
      return;
    }
    throw new GantryError("unavailable", "Unix syslog delivery error");
  }
}

function endpointOf({ host, port, path }: Target, tls: ConnectionOptions | undefined) {
  if (path !== "") return { kind: "unix" as const, path };
  // Go dials an address without a host on this machine.
  return { kind: "tcp" as const, host: host || "localhost", port, ...(tls && { tls }) };
}
