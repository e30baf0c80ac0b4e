export * from "./access/index.ts";
export type * from "./contract.ts";
export { RegistryError, type RegistryErrorCode } from "./errors.ts";
export * from "./observe/index.ts";
