// The journald driver: journald's native protocol, a datagram of fields for each entry, to the
// socket of this host. Too large an entry goes as a sealed memory file (datagram.ts).

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { GantryError } from "../../base/index.ts";
import { extraAttributes, type LogInfo, logTag } from "../logs/attributes.ts";
import type { LogEntry } from "../logs/contract.ts";
import type { LogDriver, LogSink, SendOptions, SinkLimits } from "./contract.ts";
import { type DatagramSender, openUnixDatagram } from "./datagram.ts";
import { refuseUnknown, TAG_OPTIONS } from "./options.ts";
import { SEVERITY } from "./syslog-message.ts";

const SOCKET = "/run/systemd/journal/socket";
const SHORT_ID = 12;
const LENGTH_BYTES = 8;
const LIMITS: SinkLimits = { linesMax: 500, bytesMax: 256 * 1024, lingerMs: 0 };

export const journaldDriver: LogDriver = {
  name: "journald",
  validate(options) {
    const word = (key: string) => `unknown log opt '${key}' for journald log driver`;
    refuseUnknown(options, TAG_OPTIONS, word);
  },
  open: (c) => new JournaldSink(c),
};

class JournaldSink implements LogSink {
  readonly limits = LIMITS;
  readonly #fields: Record<string, string>;
  /** Numbers of entries are comparable within an epoch. */
  readonly #epoch = randomUUID().replaceAll("-", "");
  #ordinal = 0;
  #datagrams: DatagramSender | undefined;

  constructor(c: LogInfo) {
    const tag = logTag(c, "{{.ID}}");
    this.#fields = {
      CONTAINER_ID: c.id.slice(0, SHORT_ID),
      CONTAINER_ID_FULL: c.id,
      CONTAINER_NAME: c.name,
      CONTAINER_TAG: tag,
      IMAGE_NAME: c.imageName,
      SYSLOG_IDENTIFIER: tag,
      ...extraAttributes(c, journalFieldName),
    };
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (!existsSync(SOCKET)) {
      throw new GantryError("unavailable", "journald is not enabled on this host");
    }
    this.#datagrams ??= await openUnixDatagram(SOCKET, signal, { large: true });
  }

  async send(lines: readonly LogEntry[], { signal }: SendOptions): Promise<number> {
    await this.connect(signal);
    const first = this.#ordinal;
    try {
      const entries = lines.map((line) => journalEntry(this.#fieldsOf(line), line.text));
      const sent = await this.#datagrams!.send(entries, signal);
      this.#ordinal = first + sent;
      return sent;
    } catch (error) {
      this.#ordinal = first;
      this.#datagrams?.close(); // journald may come back with another socket
      this.#datagrams = undefined;
      throw error;
    }
  }

  close(): void {
    this.#datagrams?.close();
  }

  #fieldsOf({ stream, timeNano, partial }: LogEntry): Record<string, string> {
    const time = new Date(Number(timeNano / 1_000_000n)).toISOString();
    return {
      ...this.#fields,
      PRIORITY: String(SEVERITY[stream]),
      SYSLOG_TIMESTAMP: `${time.slice(0, -5)}.${String(timeNano % 1_000_000_000n).padStart(9, "0")}Z`,
      CONTAINER_LOG_EPOCH: this.#epoch,
      CONTAINER_LOG_ORDINAL: String(++this.#ordinal),
      ...(partial && {
        ...(!partial.last && { CONTAINER_PARTIAL_MESSAGE: "true" }),
        CONTAINER_PARTIAL_ID: partial.id,
        CONTAINER_PARTIAL_ORDINAL: String(partial.ordinal),
        CONTAINER_PARTIAL_LAST: String(partial.last),
      }),
    };
  }
}

/** Upper case letters, digits and underscores, none of these first. Exported for tests. */
export function journalFieldName(key: string): string {
  return key
    .toUpperCase()
    .replace(/[^A-Z0-9]/gu, "_")
    .replace(/^_+/, "");
}

/** The native protocol: NAME=value, or the value by its length where it has newlines. */
export function journalEntry(fields: Readonly<Record<string, string>>, message: Buffer): Buffer {
  const parts: Buffer[] = [];
  const put = (name: string, value: Buffer) => {
    if (name === "") return;
    if (!value.includes(10)) parts.push(Buffer.from(`${name}=`), value, Buffer.from("\n"));
    else {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeBigUInt64LE(BigInt(value.length));
      parts.push(Buffer.from(`${name}\n`), length, value, Buffer.from("\n"));
    }
  };
  put("MESSAGE", message);
  for (const [name, value] of Object.entries(fields)) put(name, Buffer.from(value));
  return Buffer.concat(parts);
}
