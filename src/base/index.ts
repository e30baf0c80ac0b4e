export { type Advice, adviceLines, adviceOf, withAdvice } from "./advice.ts";
export { writeFileAtomic } from "./atomic-file.ts";
export { formatDuration, humanDuration, parseDuration, TIMER_MS_MAX } from "./durations.ts";
export { type ErrorKind, errnoOf, GantryError, kindOf, messageOf } from "./errors.ts";
export { parseExactJson, stringifyExactJson } from "./exact-json.ts";
export { type FlagType, type FlagValues, parseBool, splitCsv } from "./flag-types.ts";
export {
  defineFlags,
  type FlagSpec,
  type FlagSpecs,
  type ParsedFlags,
  type ParsedValues,
  parseFlags,
} from "./flags.ts";
export { noteGarbage } from "./garbage.ts";
export { KeyedMutex } from "./keyed-mutex.ts";
export { createLogger, type Logger, type LogLevel, silentLogger } from "./logger.ts";
export { GZIP_START, type GzipPoint, parallelGzip } from "./parallel-gzip.ts";
export { programRoot } from "./program-root.ts";
export { Rollback } from "./rollback.ts";
export { humanBinarySize, humanSize, parseDiskBytes, parseRamBytes } from "./sizes.ts";
