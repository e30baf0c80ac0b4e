// What an operator may say about access, as plain data: the YAML configuration of `gantry registry
// serve` and programs that embed a registry fill these in alike. Durations are in milliseconds or
// seconds as the name says; paths are absolute. Defaults are in brackets.

import type { Action } from "../contract.ts";

/** Everything that decides who may do what: createAccess(options) makes a Gatekeeper of it. */
export interface AccessOptions {
  /** How callers prove who they are [none: everybody is anonymous and, without policies, may do
   * all]. */
  authentication?: AuthenticationOptions;
  /** What they may do. Without: every user everything, and an anonymous caller nothing (or, without
   * authentication, everything). The rules' permissions add up; what no rule allows is denied. */
  policies?: readonly PolicyRule[];
  /** Names of groups with the users in them, for `policies`. */
  groups?: Readonly<Record<string, readonly string[]>>;
  rateLimits?: RateLimitOptions;
  /** Addresses or networks ("10.0.0.0/8") whose X-Forwarded-For is believed [none]. */
  trustedProxies?: readonly string[];
}

export type AuthenticationOptions =
  | ({ type: "htpasswd" } & HtpasswdOptions)
  | ({ type: "token" } & TokenServiceOptions)
  | ({ type: "external-token" } & ExternalTokenOptions)
  /** Only client certificates (TlsOptions.clientCertificateAuthorities) say who somebody is. */
  | { type: "certificate" };

/** HTTP Basic against a password file of bcrypt lines, as `htpasswd -B` writes them. */
export interface HtpasswdOptions {
  file: string;
  /** Shown by browsers in their dialog ["Registry"]. */
  realm?: string;
  /** How long a password that was right once is not hashed again [60 000; 0 hashes each time]. */
  cacheMs?: number;
}

/** The token service that is built in: /token on the registry's own address. */
export interface TokenServiceOptions {
  /** The users who may log in. Without one, all tokens are anonymous. */
  htpasswd?: HtpasswdOptions;
  /** Private keys (JWKS, mode 0600), made at the first start; processes of one registry share
   * them. */
  keyFile: string;
  /** Algorithm of keys made from now on ["ES256"]. */
  algorithm?: "ES256" | "RS256";
  /** A new signing key after so many days [90; 0 never]. The old ones verify until all they signed
   * has expired. */
  rotateDays?: number;
  /** Address of /token as clients see it [made from each request: scheme and Host]. */
  realm?: string;
  /** The audience [host and port of the request]. Name it where the registry has several
   * addresses. */
  service?: string;
  /** ["gantry registry"] */
  issuer?: string;
  /** Life of an access token [300; at least 60]. */
  tokenSeconds?: number;
  /** Life of a refresh token, which `docker login` keeps in place of the password [30 days; 0: none
   * are given]. A changed or removed password ends it at once. */
  refreshTokenSeconds?: number;
  /** Where revoked refresh tokens are remembered [keyFile + ".revoked"]. */
  revokedFile?: string;
}

/** Tokens of somebody else's service, verified as docker's registry does. */
export interface ExternalTokenOptions {
  /** Address of the token service that clients are sent to. */
  realm: string;
  service: string;
  issuer: string;
  /** PEM certificates whose keys, or whose issued certificates (x5c), may sign. */
  rootCertBundle?: string;
  /** Public keys as a JWKS. One of the two is needed. */
  jwksFile?: string;
  /** Accepted signatures ["RS256", "ES256", and the longer ones]; never "none" or an HMAC. */
  algorithms?: readonly string[];
}

/** Whom it names may do `actions` in `repositories`. */
export interface PolicyRule {
  /** Globs: `*` within a path component, `**` across them, `?` one character, `{user}` the caller's
   * name. ["**"] */
  repositories?: readonly string[];
  users?: readonly string[];
  groups?: readonly string[];
  /** Also those who have not logged in. */
  anonymous?: boolean;
  /** Every user who has logged in. */
  authenticated?: boolean;
  /** "*" stands for all of them. */
  actions: readonly Action[];
  /** May list every repository (`_catalog`) [only with actions "*" in "**"]. */
  catalog?: boolean;
}

export interface RateLimitOptions {
  /** Requests from one address (IPv6: one /64) [no limit]. */
  perAddress?: BucketOptions;
  /** Requests of one user [no limit]. */
  perUser?: BucketOptions;
  /** Wrong passwords and bad tokens from one address [20 at once, then one in 3 s]. */
  failedLogins?: BucketOptions | false;
  /** Bytes a second sent to one address, over all its connections [no limit]. Of the connection's
   * peer: behind a proxy that is the proxy. Given to createRegistry's onConnection by the
   * caller. */
  bytesPerSecond?: number;
  /** Addresses and users that are remembered; the least recent are forgotten [50 000]. */
  remembered?: number;
}
export interface BucketOptions {
  perSecond: number;
  burst: number;
}

/** Largest bodies that are taken; more is refused with 413 before it is stored. For manifests see
 * RegistryLimits. */
export interface SizeLimitOptions {
  /** One blob, however it is uploaded [no limit]. */
  blobBytesMax?: number;
}

export interface TlsOptions {
  /** PEM files; both are read again when they change. */
  certificate: string;
  key: string;
  /** ["TLSv1.2"] */
  minimumVersion?: "TLSv1.2" | "TLSv1.3";
  /** PEM bundle of those who may issue client certificates: turns mutual TLS on. */
  clientCertificateAuthorities?: string;
  /** "require" ends connections without a good certificate; "optional" lets them be anonymous
   * ["require"]. */
  clientCertificates?: "require" | "optional";
}
