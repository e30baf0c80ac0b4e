// One syslog message: RFC 3164 as BSD's syslog(3) and over the network, RFC 5424 with seconds or
// microseconds, and the framing by octet counts that RFC 5425 wants over TLS. Pure.

export const SYSLOG_FORMATS = ["", "rfc3164", "rfc5424", "rfc5424micro"] as const;
export type SyslogFormat = (typeof SYSLOG_FORMATS)[number];

export const SEVERITY = { stdout: 6, stderr: 3 } as const; // informational, error

const FACILITIES = [
  ...["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"],
  ...["authpriv", "ftp"],
];
const LOCAL_FIRST = 16;
const FACILITY_MAX = 23;
const DAEMON = 3;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** The number of a facility by its name or number; undefined for what is none. */
export function facilityNumber(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return DAEMON;
  const named = FACILITIES.indexOf(text);
  if (named >= 0) return named;
  const local = /^local([0-7])$/.exec(text);
  if (local) return LOCAL_FIRST + Number(local[1]);
  const number = /^\+?\d{1,3}$/.test(text) ? Number(text) : -1;
  return number >= 0 && number <= FACILITY_MAX ? number : undefined;
}

export interface SyslogHeader {
  format: SyslogFormat;
  priority: number;
  hostname: string;
  tag: string;
  pid: number;
}

/** What goes before the text of a line. */
export function syslogHeader(timeNano: bigint, h: SyslogHeader): string {
  const at = new Date(Number(timeNano / 1_000_000n));
  if (h.format === "") return `<${h.priority}>${stamp(at)} ${h.tag}[${h.pid}]: `;
  if (h.format === "rfc3164") {
    return `<${h.priority}>${stamp(at)} ${h.hostname} ${h.tag}[${h.pid}]: `;
  }
  const micros = Number((timeNano / 1000n) % 1_000_000n);
  const fraction = h.format === "rfc5424micro" ? `.${String(micros).padStart(6, "0")}` : "";
  const time = `${localTime(at)}${fraction}${zone(at)}`;
  return `<${h.priority}>1 ${time} ${h.hostname} ${h.tag} ${h.pid} ${h.tag} - `;
}

/** The message with its newline; `counted`: after the number of its bytes (RFC 5425). */
export function frameMessage(header: string, text: Buffer, counted: boolean): Buffer {
  const head = Buffer.from(header);
  const newline = text.at(-1) === 10 ? 0 : 1;
  const length = head.length + text.length + newline;
  const count = counted ? Buffer.from(`${length} `) : Buffer.alloc(0);
  return Buffer.concat([count, head, text, Buffer.from("\n".repeat(newline))]);
}

/** "Jan  2 15:04:05", local time. */
function stamp(at: Date): string {
  const day = String(at.getDate()).padStart(2);
  return `${MONTHS[at.getMonth()]} ${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

function localTime(at: Date): string {
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

function zone(at: Date): string {
  const minutes = -at.getTimezoneOffset();
  if (minutes === 0) return "Z";
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
