// What a program says when it makes a registry; the command line's configuration becomes this.

import type { Socket } from "node:net";
import type { SecureContextOptions, TlsOptions } from "node:tls";
import type { Logger } from "../base/index.ts";
import type { ScheduleOptions } from "./collector-schedule.ts";
import type { ExtraRoute, Gatekeeper, ObjectStore, Observer, RegistryContent } from "./contract.ts";

export interface RegistryOptions {
  store: ObjectStore;
  /** Without one, everybody may do everything. */
  gatekeeper?: Gatekeeper;
  observers?: readonly Observer[];
  /** Puts another content around the store's (a pull-through cache, size limits). */
  wrapContent?: (content: RegistryContent) => RegistryContent;
  /** Addresses outside /v2/: token service, web page, search, metrics, health. */
  extraRoutes?: readonly ExtraRoute[];
  tls?: {
    serverOptions: TlsOptions;
    /** Called with the server, for certificates that are renewed. */
    attach?(server: { setSecureContext(options: SecureContextOptions): void }): void;
  };
  /** Whose X-Forwarded-* headers are believed; nobody's without. */
  proxies?: {
    trusts(peerAddress: string): boolean;
    clientAddress(peerAddress: string, forwardedFor: string | undefined): string;
  };
  /** The user that a client certificate names. */
  certificateSubject?: (socket: Socket) => string | undefined;
  /** Sees each connection first (bandwidth limits). */
  onConnection?: (socket: Socket) => void;
  /** Refuses pushes and deletes with 405 [false]. */
  readOnly?: boolean;
  /** Deleting manifests, tags and blobs is allowed [true]. */
  deleteEnabled?: boolean;
  limits?: Partial<RegistryLimits>;
  /** After so long the collector may remove what nothing refers to [24 h]. */
  graceMs?: number;
  /** Collects garbage by the clock [never; `gantry registry gc` or collectGarbage()]. Its grace is
   * `graceMs` unless told. */
  collect?: ScheduleOptions;
  logger?: Logger;
}

export interface RegistryLimits {
  /** A manifest's size [8 MiB]. */
  manifestBytesMax: number;
  /** Names in one answer of `_catalog` [1000]. */
  catalogPageMax: number;
  /** Referrers in one answer [1000]. */
  referrersPageMax: number;
  /** Tags that one manifest may get with one request [100]. */
  tagsPerPutMax: number;
  /** A connection on which nothing moves is closed after [120 s]. */
  idleMsMax: number;
  /** Connections at once; more wait in the kernel [10 000]. */
  connectionsMax: number;
}

export const defaultLimits: RegistryLimits = {
  manifestBytesMax: 8 << 20,
  catalogPageMax: 1_000,
  referrersPageMax: 1_000,
  tagsPerPutMax: 100,
  idleMsMax: 120_000,
  connectionsMax: 10_000,
};

export const defaultGraceMs = 24 * 3600 * 1000;
