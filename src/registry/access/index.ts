export { hashPassword } from "./bcrypt.ts";
export { TrustedProxies } from "./client-address.ts";
export { type AccessContext, createAccess, type RegistryAccess } from "./gatekeeper.ts";
export type * from "./options.ts";
export { RateLimits } from "./rate-limits.ts";
export { limitSizes } from "./size-limits.ts";
export { certificateSubject, createTls, type RegistryTls } from "./tls.ts";
export { TokenService } from "./token-service.ts";
