// The registry's configuration: one YAML file whose keys are the options of the library, by the
// same names, with defaults; flags of the command line come on top. docs/guide/registry.md lists
// them all. What nobody knows is refused with its line.

import { readFile } from "node:fs/promises";
import { GantryError, type LogLevel, messageOf } from "../base/index.ts";
import type {
  AccessOptions,
  AuthenticationOptions,
  BucketOptions,
  ExternalTokenOptions,
  HtpasswdOptions,
  PolicyRule,
  RateLimitOptions,
  SizeLimitOptions,
  TlsOptions,
  TokenServiceOptions,
} from "./access/index.ts";
import { type CacheOptions, parseCacheOptions } from "./cache-options.ts";
import {
  bytes,
  duration,
  type Fields,
  flag,
  listOf,
  mapOf,
  object,
  oneOf,
  oneOrMore,
  orFalse,
  path,
  positive,
  type Reader,
  readYaml,
  text,
  webAddress,
  whole,
  word,
} from "./config-schema.ts";
import type { Action } from "./contract.ts";
import type { AuditOptions, WebhookEndpoint, WebhookOptions } from "./observe/index.ts";
import type { RegistryLimits } from "./options.ts";
import { parseS3Options, type S3StoreOptions } from "./s3-options.ts";
import type { SearchOptions } from "./search.ts";
import type { WebOptions } from "./web.ts";

export interface RegistryConfig {
  /** HOST:PORT, one or more. */
  addr?: string[];
  /** The folder that everything is kept in. */
  root?: string;
  /** The bucket that everything is kept in, instead of `root`. */
  s3?: S3StoreOptions;
  readOnly?: boolean;
  /** Whether manifests, tags and blobs can be deleted [true]. */
  delete?: boolean;
  tls?: TlsOptions;
  access?: AccessOptions;
  /** Names that stand for repositories of other registries. */
  cache?: CacheOptions;
  limits?: SizeLimitOptions & Partial<RegistryLimits>;
  audit?: AuditOptions;
  webhooks?: WebhookOptions;
  /** HOST:PORT of a second, private address with /metrics, /healthz and /readyz. */
  debug?: { addr: string };
  /** Also /metrics on the registry's own address, for those who may list the catalog [false]. */
  metrics?: boolean;
  /** The page for people; false leaves it out. */
  web?: WebOptions | false;
  search?: SearchOptions | false;
  log?: { level?: LogLevel; format?: "text" | "json"; file?: string };
  collect?: CollectOptions;
  /** So long running requests may take when the registry is told to stop [30 s]. */
  shutdownMs?: number;
}

export interface CollectOptions {
  /** The collector runs so often beside the registry; 0: only `gantry registry gc` [24 h]. */
  everyMs?: number;
  /** What nothing refers to stays so long [24 h]. */
  graceMs?: number;
  /** Also manifests without a tag, that nothing refers to [false]. */
  untagged?: boolean;
  /** Uploads to which nothing was added for so long end [7 days]. */
  uploadAgeMsMax?: number;
}

const actions = oneOf<Action>("pull", "push", "delete", "*");
const bucket = object<BucketOptions>({ perSecond: positive, burst: whole(1) }, [
  "perSecond",
  "burst",
]);

const htpasswdFields: Fields<HtpasswdOptions> = {
  file: path,
  realm: text,
  cacheMs: duration("milliseconds"),
};
const htpasswd = object<HtpasswdOptions>(htpasswdFields, ["file"]);

const tokenFields: Fields<TokenServiceOptions> = {
  htpasswd,
  keyFile: path,
  algorithm: oneOf("ES256", "RS256"),
  rotateDays: duration("days"),
  realm: webAddress,
  service: text,
  issuer: text,
  tokenSeconds: duration("seconds", 60),
  refreshTokenSeconds: duration("seconds"),
  revokedFile: path,
};
const externalFields: Fields<ExternalTokenOptions> = {
  realm: webAddress,
  service: text,
  issuer: text,
  rootCertBundle: path,
  jwksFile: path,
  algorithms: listOf(text),
};
const kind = oneOf("htpasswd", "token", "external-token", "certificate");

/** The keys depend on `type`. */
const authentication: Reader<AuthenticationOptions> = (node, at) => {
  const schemes = {
    htpasswd: object({ type: kind, ...htpasswdFields }, ["type", "file"]),
    token: object({ type: kind, ...tokenFields }, ["type", "keyFile"]),
    "external-token": object({ type: kind, ...externalFields }, [
      "type",
      "realm",
      "service",
      "issuer",
    ]),
    certificate: object({ type: kind }, ["type"]),
  };
  const type = typeOf(node);
  if (type === undefined || !Object.hasOwn(schemes, type)) {
    const known = Object.keys(schemes).join(", ");
    return at.complain(node, `${at.path} must be a mapping whose type is one of ${known}`);
  }
  const reader = schemes[type as keyof typeof schemes] as unknown as Reader<AuthenticationOptions>;
  return reader(node, at);
};

function typeOf(node: unknown): string | undefined {
  const get = (node as { get?: (key: string) => unknown } | null)?.get;
  const type = typeof get === "function" ? get.call(node, "type") : undefined;
  return typeof type === "string" ? type : undefined;
}

const policy = object<PolicyRule>(
  {
    repositories: oneOrMore(text),
    users: oneOrMore(word),
    groups: oneOrMore(word),
    anonymous: flag,
    authenticated: flag,
    actions: oneOrMore(actions),
    catalog: flag,
  },
  ["actions"],
);

const rateLimits = object<RateLimitOptions>({
  perAddress: bucket,
  perUser: bucket,
  failedLogins: orFalse(bucket),
  bytesPerSecond: bytes(1),
  remembered: whole(1),
});

const access = object<AccessOptions>({
  authentication,
  policies: listOf(policy),
  groups: mapOf(listOf(word)),
  rateLimits,
  trustedProxies: oneOrMore(text),
});

const tls = object<TlsOptions>(
  {
    certificate: path,
    key: path,
    minimumVersion: oneOf("TLSv1.2", "TLSv1.3"),
    clientCertificateAuthorities: path,
    clientCertificates: oneOf("require", "optional"),
  },
  ["certificate", "key"],
);

const limits = object<SizeLimitOptions & Partial<RegistryLimits>>({
  manifestBytesMax: bytes(1024),
  blobBytesMax: bytes(1),
  catalogPageMax: whole(1, 100_000),
  referrersPageMax: whole(1, 100_000),
  tagsPerPutMax: whole(1, 10_000),
  idleMsMax: duration("milliseconds", 1_000),
  connectionsMax: whole(1),
});

const audit = object<AuditOptions>(
  {
    file: path,
    rotateBytes: bytes(),
    keep: whole(0, 10_000),
    queueLinesMax: whole(1),
    what: oneOf("all", "changes"),
  },
  ["file"],
);

const endpoint = object<WebhookEndpoint>(
  {
    name: text,
    url: webAddress,
    headers: mapOf(word),
    timeoutMs: duration("milliseconds", 1),
    threshold: whole(1),
    backoffMs: duration("milliseconds", 1),
    ignore: object({
      mediaTypes: listOf(text),
      actions: listOf(oneOf("pull", "push", "delete", "mount")),
    }),
    queueBytesMax: bytes(1024),
  },
  ["name", "url"],
);
const webhooks = object<WebhookOptions>(
  { folder: path, endpoints: listOf(endpoint), source: text },
  ["folder", "endpoints"],
);

/** HOST:PORT; the host may be empty (all addresses) or an IPv6 address in brackets. */
const address: Reader<string> = (node, at) => {
  const written = text(node, at);
  if (written === undefined) return undefined;
  return parseAddress(written) === undefined
    ? at.complain(node, `${at.path} must be HOST:PORT`)
    : written;
};

const s3: Reader<S3StoreOptions> = (node, at) => {
  const value = (node as { toJSON?: () => unknown } | null)?.toJSON?.();
  try {
    return parseS3Options(value);
  } catch (error) {
    return at.complain(node, `${at.path}: ${messageOf(error)}`);
  }
};

const cache: Reader<CacheOptions> = (node, at) => {
  const value = (node as { toJSON?: () => unknown } | null)?.toJSON?.();
  try {
    return parseCacheOptions(value);
  } catch (error) {
    return at.complain(node, `${at.path}: ${messageOf(error)}`);
  }
};

const config = object<RegistryConfig>({
  addr: oneOrMore(address),
  root: path,
  s3,
  readOnly: flag,
  delete: flag,
  tls,
  access,
  cache,
  limits,
  audit,
  webhooks,
  debug: object({ addr: address }, ["addr"]),
  metrics: flag,
  web: orFalse(object<WebOptions>({ title: text })),
  search: orFalse(
    object<SearchOptions>({
      namesMs: duration("milliseconds"),
      descriptionsMs: duration("milliseconds"),
      repositoriesMax: whole(1),
    }),
  ),
  log: object({
    level: oneOf("debug", "info", "warn", "error"),
    format: oneOf("text", "json"),
    file: path,
  }),
  collect: object<CollectOptions>({
    everyMs: duration("milliseconds"),
    graceMs: duration("milliseconds"),
    untagged: flag,
    uploadAgeMsMax: duration("milliseconds"),
  }),
  shutdownMs: duration("milliseconds"),
});

/** Throws GantryError invalid with a line for each thing that is wrong. */
export function parseConfig(file: string, yaml: string): RegistryConfig {
  if (/^\s*(#.*\s*)*$/.test(yaml)) return {};
  const read = readYaml(file, yaml, config);
  if (read.root !== undefined && read.s3 !== undefined) {
    throw new GantryError("invalid", `${file}: root and s3 exclude one another`);
  }
  return read;
}

export async function readConfig(file: string): Promise<RegistryConfig> {
  let yaml: string;
  try {
    yaml = await readFile(file, "utf8");
  } catch (cause) {
    const message = `Cannot read the configuration ${file}: ${messageOf(cause)}`;
    throw new GantryError("invalid", message, { cause });
  }
  return parseConfig(file, yaml);
}

export interface ListenAddress {
  host: string;
  port: number;
}

/** "HOST:PORT", ":PORT" or "[IPV6]:PORT"; undefined for anything else. */
export function parseAddress(written: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(written) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  const host = bracketed ?? plain ?? "";
  return { host: host === "" ? "::" : host, port };
}
