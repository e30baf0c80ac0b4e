export * from "./access/index.ts";
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
export type { RegistryLimits, RegistryOptions } from "./options.ts";
export { createRegistry, type RegistryServer } from "./server.ts";
