// The daemon's own log: one logfmt or JSON line per event, as dockerd prints, on stderr.

export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";
const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

export interface Logger {
  level: LogLevel;
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export function createLogger({
  level = "info",
  format = "text",
  write = (line: string) => void process.stderr.write(line),
}: {
  level?: LogLevel;
  format?: "text" | "json";
  write?: (line: string) => void;
} = {}): Logger {
  const logger: Logger = {
    level,
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    error: (message, fields) => emit("error", message, fields),
  };
  function emit(at: LogLevel, message: string, fields: Record<string, unknown> = {}): void {
    if (ORDER[at] < ORDER[logger.level]) return;
    const time = new Date().toISOString();
    if (format === "json") {
      write(`${JSON.stringify({ level: at, time, msg: message, ...plain(fields) })}\n`);
      return;
    }
    const tail = Object.entries(plain(fields)).map(([key, value]) => ` ${key}=${quote(value)}`);
    write(`time="${time}" level=${at} msg=${JSON.stringify(message)}${tail.join("")}\n`);
  }
  return logger;
}

export const silentLogger: Logger = createLogger({ level: "fatal", write: () => {} });

function plain(fields: Record<string, unknown>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    out[key] = value instanceof Error ? value.message : value;
  }
  return out;
}

function quote(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[\w.:/@-]+$/.test(text ?? "") ? text : JSON.stringify(text);
}
