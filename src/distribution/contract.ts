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
}

/** A message of docker's JSON progress stream. */
export type Message = Record<string, unknown>;
export type Tell = (message: Message) => void;

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}
