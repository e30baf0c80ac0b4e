// Where a container's local log is and what bounds it: from its log driver and options. Pure.

import {
  GantryError,
  messageOf,
  parseBool,
  parseDiskBytes,
  parseRamBytes,
} from "../../base/index.ts";
import type { MonitorLog } from "../../native/index.ts";
import { attributesText, type LogInfo } from "./attributes.ts";

/** Of json-file where no option says otherwise; docker has no limit. */
const JSON_FILE_BYTES = 100_000_000;
const JSON_FILES = 50;
/** Of driver local and of the cache, as in docker. */
const LOCAL_FILE_BYTES = 20 * 1024 * 1024;
const LOCAL_FILES = 5;
/** A remote side may be away for a while, whatever the cache is. */
const SPOOL_BYTES_MIN = 16 * 1024 * 1024;
const QUEUE_BYTES = 1_000_000;
const UNLIMITED = 0;

export interface LogPlace {
  path: string;
  binary: boolean;
  /** `logs` can read it. */
  readable: boolean;
  /** It is the cache of a remote driver. */
  remote: boolean;
}

interface LogLimits {
  maxBytes: number;
  maxFiles: number;
  compress: boolean;
}

/** Undefined where nothing is kept (driver none). Never throws. */
export function logPlace(c: LogInfo, dir: string): LogPlace | undefined {
  const { Type = "json-file", Config } = c.hostConfig.LogConfig ?? {};
  if (Type === "none") return undefined;
  if (Type === "json-file") {
    return { path: `${dir}/${c.id}-json.log`, binary: false, readable: true, remote: false };
  }
  if (Type === "local") {
    return { path: `${dir}/container.log`, binary: true, readable: true, remote: false };
  }
  const readable = !isTrue(Config?.["cache-disabled"]);
  return { path: `${dir}/container-cached.log`, binary: true, readable, remote: true };
}

/** Throws invalid in docker's words. */
export function logLimits(c: LogInfo): LogLimits {
  const { Type = "json-file", Config } = c.hostConfig.LogConfig ?? {};
  const options = Config ?? {};
  if (Type === "json-file") return jsonFileLimits(options);
  if (Type === "local") return localLimits(options, "");
  const limits = localLimits(options, "cache-");
  return isTrue(options["cache-disabled"]) ? { ...limits, maxFiles: 1, compress: false } : limits;
}

function jsonFileLimits(options: Record<string, string>): LogLimits {
  const { "max-size": size, "max-file": file } = options;
  const maxBytes = size === undefined ? undefined : sizeOf(size, "max-size");
  const maxFiles = file === undefined ? undefined : countOf(file);
  if (maxFiles !== undefined && maxFiles < 1) throw invalid("max-file cannot be less than 1");
  const compress = compressOf(options["compress"]);
  if (compress && ((maxFiles ?? 1) < 2 || maxBytes === undefined || maxBytes === UNLIMITED)) {
    throw invalid("compress cannot be true when max-file is less than 2 or max-size is not set");
  }
  if (maxBytes !== undefined) {
    return { maxBytes, maxFiles: maxFiles ?? 1, compress: compress ?? false };
  }
  return {
    maxBytes: JSON_FILE_BYTES,
    maxFiles: maxFiles ?? JSON_FILES,
    compress: compress ?? true,
  };
}

function localLimits(options: Record<string, string>, prefix: string): LogLimits {
  const size = options[`${prefix}max-size`];
  const file = options[`${prefix}max-file`];
  const maxBytes = size === undefined ? LOCAL_FILE_BYTES : sizeOf(size, "max-size");
  const maxFiles = file === undefined ? LOCAL_FILES : countOf(file);
  if (maxFiles < 0) throw invalid("max file count cannot be less than 0");
  const compress = compressOf(options[`${prefix}compress`]) ?? true;
  if (compress && maxFiles <= 1) {
    throw invalid("compression cannot be enabled when max file count is 1");
  }
  return { maxBytes, maxFiles: Math.max(1, maxFiles), compress };
}

/** What the monitor is told. Throws invalid in docker's words for what it finds out at a start. */
export function monitorLog(c: LogInfo, dir: string): MonitorLog | undefined {
  const place = logPlace(c, dir);
  if (!place) return undefined;
  const options = c.hostConfig.LogConfig?.Config ?? {};
  try {
    const { maxBytes, maxFiles } = logLimits(c);
    const nonBlocking = options["mode"] === "non-blocking";
    return {
      path: place.path,
      maxBytes,
      maxFiles,
      attrs: place.binary ? "" : attributesText(c),
      format: place.binary ? "binary" : "json",
      blocking: !nonBlocking,
      ...(place.remote && { spoolBytes: Math.max(SPOOL_BYTES_MIN, maxBytes * maxFiles) }),
      ...(nonBlocking && { queueBytes: queueBytes(options["max-buffer-size"]) }),
    };
  } catch (cause) {
    if (!(cause instanceof GantryError)) throw cause;
    const message = `failed to initialize logging driver: ${messageOf(cause)}`;
    throw new GantryError(cause.kind, `failed to create task for container: ${message}`, { cause });
  }
}

const queueBytes = (text: string | undefined): number =>
  (text === undefined ? 0 : parseRamBytes(text)) || QUEUE_BYTES;

/** -1 and 0 are no limit. */
function sizeOf(text: string, name: string): number {
  if (text === "-1" || text === "0") return UNLIMITED;
  const bytes = parseDiskBytes(text);
  if (bytes <= 0) throw invalid(`${name} must be a positive number`);
  return bytes;
}

function countOf(text: string): number {
  if (!/^[-+]?\d+$/.test(text)) {
    throw invalid(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}

function compressOf(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : parseBool(text);
}

function isTrue(text: string | undefined): boolean {
  try {
    return text !== undefined && text !== "" && parseBool(text);
  } catch {
    return false;
  }
}

const invalid = (message: string): GantryError => new GantryError("invalid", message);
