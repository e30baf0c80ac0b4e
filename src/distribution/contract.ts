// What the registry client is told and what it says: options of the daemon, credentials of one
// request, descriptors. Storage is behind two small interfaces (pull.ts, push.ts), so this folder
// knows nothing of how images are kept.

/** OCI descriptor: what a manifest says of a blob or of another manifest. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  urls?: string[];
}

/** What `X-Registry-Auth` carries and what `docker login` keeps. */
export interface Credentials {
  username?: string;
  password?: string;
  /** A refresh token of the registry's token service. */
  identityToken?: string;
  /** Sent as a bearer token as it is. */
  registryToken?: string;
}

export interface DistributionOptions {
  /** Host names, host:port or CIDR ranges that may be spoken to without verified TLS. */
  insecureRegistries: string[];
  /** Base URLs that are asked before Docker Hub. */
  mirrors: string[];
  maxConcurrentDownloads: number;
  maxConcurrentUploads: number;
  maxDownloadAttempts: number;
  /** Folders with <host>/{*.crt,*.cert,*.key}. */
  certificateFolders: string[];
  userAgent: string;
  /** Rules for single registries, repositories or domains: mirrors, another location, a ban. */
  registries?: readonly RegistryRule[];
  /** Proxies in Go's sense; without it the environment's. */
  proxies?: ProxySettings;
  /** Registries that get layers whose maker reserves their distribution: names and ranges. */
  allowNondistributableArtifacts?: readonly string[];
  maxUploadAttempts?: number;
  /** Waits before an upload is tried again, milliseconds; the last one repeats. */
  retryDelaysMs?: readonly number[];
  /** For tests of what happens at the limits. */
  limits?: Partial<ExchangeLimits>;
  downloads?: Partial<DownloadLimits>;
}

/** What is to be done for references that begin with `prefix`; the longest one that fits counts. */
export interface RegistryRule {
  /** "docker.io", "example.com:5000/team" or "*.example.com". */
  prefix: string;
  mirrors: readonly MirrorRule[];
  /** Where the registry really is: host, and a path that replaces the prefix's. */
  location?: string;
  insecure: boolean;
  /** Nothing is fetched from there or sent there; mirrors are no exception. */
  blocked: boolean;
}
export interface MirrorRule {
  /** Scheme, host and the path that replaces the prefix's in repository names. */
  url: string;
  /** Regular expressions and what they make of a repository's name; the first that fits counts,
   * instead of the path. */
  rewrite: readonly { pattern: RegExp; replacement: string }[];
  /** Its TLS certificate is not verified. */
  insecure: boolean;
  /** Tells it with ?ns= which registry is meant. */
  namespace: boolean;
  /** Tags are looked up at the registry itself: the mirror only delivers what a digest proves. */
  digestsOnly: boolean;
  /** Its own; those of the registry never go there. */
  username?: string;
  passwordFile?: string;
}

/** Empty where there is none. */
export interface ProxySettings {
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
}

/** How long the other side may take; milliseconds. */
export interface ExchangeLimits {
  /** Name, connection, proxy and TLS. */
  connectTimeoutMs: number;
  /** From the end of a request without content to the head of its answer. */
  headersTimeoutMs: number;
  /** The same when something was sent, which may have to be checked or stored first. */
  commitTimeoutMs: number;
  /** A body must have brought at least `trickleBytesMin` in that time. */
  idleTimeoutMs: number;
  /** For a small body as a whole. */
  bodyTimeoutMs: number;
}

/** How one blob is fetched. */
export interface DownloadLimits {
  /** Larger blobs come in pieces of this size. */
  pieceBytes: number;
  /** Connections for one blob. */
  rangesMax: number;
  attemptsMax: number;
  /** A connection that broke after so much is opened again at once, and counts as none. */
  progressBytes: number;
  retryDelayMs: number;
  retryDelayMsMax: number;
}

/** A message of docker's JSON progress stream. */
export type Message = Record<string, unknown>;
export type Tell = (message: Message) => void;
