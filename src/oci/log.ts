// The log of one call, as runc writes it: lines of logfmt or JSON, to standard error or to a file
// that engines read an error from.

import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { errnoOf, GantryError } from "../base/index.ts";
import type { CallIo } from "../warm/index.ts";

export type LogLevel = "debug" | "info" | "warning" | "error";

const STDERR = "/dev/stderr";

export class Log {
  #io: CallIo;
  #isDebug = false;
  #isJson = false;
  #path: string | undefined;
  /** Lines are written one after the other. */
  #written: Promise<void> = Promise.resolve();

  constructor(io: CallIo) {
    this.#io = io;
  }

  /** Throws invalid for another format, and where the file cannot be written. */
  async configure(o: { path: string; format: string; debug: boolean }): Promise<void> {
    this.#isDebug = o.debug;
    if (o.path !== "" && o.path !== STDERR) {
      const path = resolve(this.#io.cwd, o.path);
      // The caller's umask is this process' own: others are not served by a warm one.
      const file = await open(path, "a", 0o644).catch((cause: unknown) => {
        throw new GantryError("invalid", `open ${o.path}: ${wording(cause)}`, { cause });
      });
      await file.close();
      this.#path = path;
    }
    if (o.format !== "" && o.format !== "text" && o.format !== "json") {
      throw new GantryError("invalid", `invalid log-format: ${o.format}`);
    }
    this.#isJson = o.format === "json";
  }

  debug(message: string): void {
    if (this.#isDebug) this.#write("debug", message);
  }
  warn(message: string): void {
    this.#write("warning", message);
  }
  /** An error also goes to standard error, bare, where the log is a file. */
  error(message: string): void {
    this.#write("error", message);
    if (this.#path !== undefined) this.#io.stderr.write(`${message}\n`);
  }

  /** Resolves when all is written. */
  async flush(): Promise<void> {
    await this.#written;
  }

  #write(level: LogLevel, message: string): void {
    const line = `${format(level, message, this.#isJson)}\n`;
    const path = this.#path;
    if (path === undefined) {
      this.#io.stderr.write(line);
      return;
    }
    this.#written = this.#written.then(async () => {
      const file = await open(path, "a", 0o644);
      await file.write(line).finally(() => file.close());
    });
    this.#written = this.#written.catch(() => {}); // there is nobody left to tell
  }
}

function format(level: LogLevel, message: string, isJson: boolean): string {
  const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  if (isJson) return JSON.stringify({ level, msg: message, time });
  const bare = /^[\w./@^+-]+$/.test(message);
  return `time="${time}" level=${level} msg=${bare ? message : JSON.stringify(message)}`;
}

const WORDING: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "not a directory",
  EROFS: "read-only file system",
};

/** The C library's words for what a system call met. */
export function wording(error: unknown): string {
  const code = errnoOf(error) ?? "";
  return WORDING[code] ?? (error instanceof Error ? error.message : String(error));
}
