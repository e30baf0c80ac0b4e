export type * from "./contract.ts";
export { RegistryError, type RegistryErrorCode } from "./errors.ts";
