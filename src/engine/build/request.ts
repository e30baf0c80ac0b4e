// What a classic build request asks for, checked: what is not supported is refused or warned of,
// never passed over in silence.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import type { Credentials } from "../../distribution/index.ts";
import { formatReference, type HostConfig, parseReference } from "../../spec/index.ts";

export interface BuildRequest {
  /** A tar, compressed or not. */
  context: Readable;
  /** Instead of it: a git repository, or a tar or Dockerfile at an http(s) address. */
  remote?: string;
  /** In the context. */
  dockerfile: string;
  tags: readonly string[];
  /** A value of null is an argument that the client's environment does not have. */
  buildArgs: Readonly<Record<string, string | null>>;
  labels: Readonly<Record<string, string>>;
  target?: string;
  platform?: string;
  pull: boolean;
  noCache: boolean;
  quiet: boolean;
  /** Classic --rm; there is nothing to keep. */
  remove: boolean;
  cacheFrom: readonly string[];
  squash: boolean;
  /** Limits, network, hosts of the steps. */
  hostConfig: HostConfig;
  /** By registry host. */
  credentials: Readonly<Record<string, Credentials>>;
  /** For `cancel`. */
  buildId?: string;
}

/** Returns the references to tag, and what to warn of. Throws invalid or not-implemented. */
export function checkRequest(request: BuildRequest): { references: string[]; warnings: string[] } {
  if (request.squash) {
    throw new GantryError("not-implemented", "squash is not supported: use a stage FROM scratch");
  }
  const warnings: string[] = [];
  if (!request.remove) {
    warnings.push("--rm=false keeps nothing: steps leave no containers behind");
  }
  return { references: request.tags.map(tagOf), warnings };
}

function tagOf(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) {
    throw new GantryError("invalid", "build tag cannot contain a digest");
  }
  return formatReference(reference);
}
