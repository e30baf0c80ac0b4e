// Repositories as the imagetools commands speak to them: in the caller's name, each opened once.

import { GantryError, kindOf } from "../../../base/index.ts";
import {
  type AnyManifest,
  type FullDescriptor,
  fetchAny,
  fullPlatform,
  isIndexType,
  type RepositoryPlace,
} from "../../../distribution/index.ts";
import { formatReference, type Reference } from "../../../spec/index.ts";
import { registryOf } from "../../config/registry-access.ts";
import type { Session } from "../../session.ts";

const CONFIGS = [
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
];

export class Places {
  readonly #session: Session;
  readonly #open = new Map<string, Promise<RepositoryPlace>>();

  constructor(session: Session) {
    this.#session = session;
  }

  of(reference: Reference): Promise<RepositoryPlace> {
    const { registry: host, repository } = reference;
    const key = `${host}/${repository}`;
    let place = this.#open.get(key);
    if (place === undefined) {
      place = registryOf(this.#session, reference).then((registry) => ({
        ...{ registry, repository, host },
      }));
      this.#open.set(key, place);
    }
    return place;
  }

  /** What a reference names; throws not-found in buildx' words. */
  async fetch(reference: Reference): Promise<AnyManifest> {
    const { digest, tag = "latest" } = reference;
    try {
      return await fetchAny(await this.of(reference), digest ?? tag);
    } catch (cause) {
      if (kindOf(cause) !== "not-found") throw cause;
      const message = `${formatReference(reference)}: not found`;
      throw new GantryError("not-found", message, { cause });
    }
  }

  /** The config of an image, undefined for what is none. */
  async config(
    reference: Reference,
    { config }: AnyManifest,
  ): Promise<Record<string, unknown> | undefined> {
    if (config === undefined || !CONFIGS.includes(config.mediaType)) return undefined;
    const { registry, repository } = await this.of(reference);
    return JSON.parse((await registry.smallBlob(repository, config)).toString("utf8"));
  }

  /** An image with the platform that its config names. */
  async describe(reference: Reference, manifest: AnyManifest): Promise<FullDescriptor> {
    const { mediaType, digest, raw } = manifest;
    const descriptor = { mediaType, digest, size: raw.length };
    if (isIndexType(mediaType)) return descriptor;
    const config = await this.config(reference, manifest);
    return config ? { ...descriptor, platform: fullPlatform(config) } : descriptor;
  }
}
