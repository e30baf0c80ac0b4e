export { writeFileAtomic } from "./atomic-file.ts";
export { type ErrorKind, errnoOf, GantryError, kindOf, messageOf } from "./errors.ts";
export { KeyedMutex } from "./keyed-mutex.ts";
export { createLogger, type Logger, type LogLevel, silentLogger } from "./logger.ts";
export { Rollback } from "./rollback.ts";
