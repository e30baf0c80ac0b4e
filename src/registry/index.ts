export * from "./access/index.ts";
export { type CacheParts, PullThroughCache } from "./cache.ts";
export { type CacheOptions, type CacheUpstream, parseCacheOptions } from "./cache-options.ts";
export type { ScheduleOptions } from "./collector-schedule.ts";
export {
  type CollectOptions,
  parseConfig,
  type RegistryConfig,
  readConfig,
} from "./config.ts";
export { type ContentOptions, createContent } from "./content.ts";
export type * from "./contract.ts";
export { RegistryError, type RegistryErrorCode } from "./errors.ts";
export { openFileStore } from "./file-store.ts";
export { collectGarbage, type GarbageOptions, type GarbageReport } from "./garbage.ts";
export * from "./observe/index.ts";
export { type OpenRegistry, openRegistry } from "./open-registry.ts";
export { openS3Store } from "./open-s3-store.ts";
export type { RegistryLimits, RegistryOptions } from "./options.ts";
export { parseS3Options, type S3StoreOptions } from "./s3-options.ts";
export { createRegistry, type RegistryServer } from "./server.ts";
