// The door to images, here and in registries.

import type { Readable } from "node:stream";
import type { Credentials, RemoteImage, SearchResult } from "../../distribution/index.ts";
import type { ImageConfigDocument, Platform } from "../../spec/index.ts";
import type { Filters, Signal } from "./shared-nouns.ts";

export type { Credentials, RemoteImage, SearchResult };

/** An image as the engine knows it. */
export interface Image {
  id: string; // config digest
  config: ImageConfigDocument;
  repoTags: string[];
  repoDigests: string[];
  parent: string;
  comment: string;
  created: string;
  size: number;
  sharedSize: number; // -1 when not computed
  containers: number; // -1 when not computed
  lastTagTime: string;
  manifest?: { mediaType: string; digest: string; size: number };
  layers: string[]; // diff ids
  /** Where they were asked for. */
  manifests?: ImageManifest[];
}
/** One of what an image's index lists. */
export interface ImageManifest {
  kind: "image" | "attestation";
  descriptor: { mediaType: string; digest: string; size: number };
  isHere: boolean;
  /** Of an image. */
  platform?: Platform;
  /** Digest of the manifest that an attestation is about. */
  about?: string;
  contentBytes: number; // documents; layers are kept unpacked only
  unpackedBytes: number;
  /** Ids of the containers that were made from it. */
  containers: string[];
}
export interface AttestationsRequest extends Signal {
  platform?: string;
  /** Predicate types; none stands for all. */
  types: readonly string[];
  withStatements: boolean;
}
/** One in-toto statement about an image. */
export interface AttestationStatement {
  descriptor: {
    mediaType: string;
    digest: string;
    size: number;
    annotations?: Record<string, string>;
  };
  predicateType: string;
  /** As it was stored; where statements were asked for. */
  statement?: unknown;
}
export type Progress = Record<string, unknown>; // a message of docker's JSON progress stream

/** One thing that was compared with its digest, or at the end the sums. */
export interface VerifyMessage {
  item?: {
    kind: "config" | "manifest" | "layer" | "blob";
    digest: string;
    state: "ok" | "damaged" | "missing" | "repaired";
    bytes: number;
    problem?: string;
    /** Names of the images that need it. */
    usedBy: string[];
  };
  sums?: { checked: number; bytes: number; damaged: number; repaired: number };
}
export interface VerifyRequest {
  refs: string[];
  /** Every image, and layers of containers whose image is gone. */
  all?: boolean;
  /** The images are meant as their registries have them. */
  remote?: boolean;
  /** Fetch again what is damaged. */
  repair?: boolean;
  credentials?: Credentials;
}

export interface BootstrapRequest {
  /** "debian:bookworm", "ubuntu:noble". */
  image: string;
  /** The name that the image gets; default: `image`. */
  tag?: string;
  /** Which packages: minbase (default), apt, essential, important, standard, buildd. */
  variant?: string;
  /** Instead of the host's own mirror. */
  mirror?: string;
  /** Further packages. */
  include?: string[];
}

export interface Images {
  list(
    o?: Signal & { all?: boolean; filters?: Filters; sharedSize?: boolean; manifests?: boolean },
  ): Promise<Image[]>;
  inspect(ref: string, o?: Signal & { platform?: string; manifests?: boolean }): Promise<Image>;
  history(
    ref: string,
    o?: { platform?: string },
  ): Promise<
    {
      Id: string;
      Created: number;
      CreatedBy: string;
      Tags: string[] | null;
      Size: number;
      Comment: string;
    }[]
  >;
  attestations(ref: string, o: AttestationsRequest): Promise<AttestationStatement[]>;
  tag(ref: string, repo: string, tag: string): Promise<void>;
  remove(
    ref: string,
    o?: Signal & { force?: boolean; noPrune?: boolean; platforms?: string[] },
  ): Promise<({ Untagged: string } | { Deleted: string })[]>;
  prune(
    filters?: Filters,
    o?: Signal,
  ): Promise<{ deleted: ({ Untagged: string } | { Deleted: string })[]; spaceReclaimed: number }>;
  /** A root file system archive (tar, any compression docker knows) becomes an image. */
  import(
    o: Signal & {
      from: Readable;
      repo?: string;
      tag?: string;
      message?: string;
      changes: string[];
      platform?: string;
    },
  ): AsyncIterable<Progress>;
  /** docker-archive or OCI layout, compressed or not. */
  load(
    from: Readable,
    o?: Signal & { quiet?: boolean; platform?: string[] },
  ): AsyncIterable<Progress>;
  /** Makes a base image from the host's own package sources, without a registry. */
  bootstrap(o: Signal & BootstrapRequest): AsyncIterable<Progress>;
  /** Reads everything and compares it with its digests. */
  verify(o: Signal & VerifyRequest): AsyncIterable<VerifyMessage>;
  save(refs: string[], o?: Signal & { platform?: string[] }): Promise<Readable>;
  /** `tag` may be a tag or a digest; without either, every tag of the repository. Errors before
   * the first message are those of the registry. */
  pull(
    name: string,
    o?: Signal & { tag?: string; platform?: string; credentials?: Credentials },
  ): AsyncIterable<Progress>;
  /** Without a tag every tag of the repository. With `allPlatforms` the whole index by which the
   * image came, all of whose images must be here. */
  push(
    name: string,
    o?: Signal & {
      tag?: string;
      platform?: string;
      allPlatforms?: boolean;
      credentials?: Credentials;
    },
  ): AsyncIterable<Progress>;
  search(
    term: string,
    o?: Signal & { limit?: number; filters?: Filters; credentials?: Credentials },
  ): Promise<SearchResult[]>;
  /** What a registry has under a name. */
  inspectRemote(name: string, o?: Signal & { credentials?: Credentials }): Promise<RemoteImage>;
  /** Throws unauthorized when the registry does not take the credentials. */
  login(address: string, credentials: Credentials, o?: Signal): Promise<{ identityToken: string }>;
}
