// Images: raw configs (whose digest is the image's id), their manifests, names and parents. Kept
// in memory as well, since there are few and everything asks for them. What a reference means is in
// image-lookup.ts.

import { GantryError, type Logger } from "../base/index.ts";
import {
  chainIds,
  digestOf,
  formatReference,
  type ImageConfigDocument,
  parseReference,
} from "../spec/index.ts";
import type { BlobStore } from "./content-store.ts";
import type { Descriptor, ImageStore, Layer, StoredImage } from "./contract.ts";
import type { Database } from "./database.ts";
import { parseImageConfig } from "./image-config.ts";
import { findImage } from "./image-lookup.ts";
import type { UnpackedLayers } from "./layer-store.ts";
import { rowsOf } from "./rows.ts";

type ImageRow = {
  id: string;
  config: Uint8Array;
  manifest_digest: string | null;
  manifest_type: string | null;
  manifest_size: number | null;
  parent: string | null;
  created_at: number;
};
type Image = {
  id: string;
  rawConfig: Uint8Array;
  config: ImageConfigDocument;
  manifest?: Descriptor;
  documents: Map<string, Descriptor>;
  parent?: string;
  createdAt: number;
  /** Normalised name → when it was given (milliseconds), and for or by which index. */
  names: Map<string, { taggedAt: number; index: string; origin: string }>;
};

type Document = { raw: Uint8Array; mediaType: string };

const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";

export class ImageRecords implements ImageStore {
  #database: Database;
  #content: BlobStore;
  #layers: UnpackedLayers;
  #images = new Map<string, Image>();
  #names = new Map<string, string>();
  /** Layers that must outlive their image: of snapshots and leases. */
  #inUse: () => Set<string>;
  /** Called when an image has been removed. */
  onRemoved: () => Promise<void> = async () => {};
  /** Digests of images that are being stored. */
  #pinned = new Map<symbol, readonly string[]>();

  constructor(
    database: Database,
    content: BlobStore,
    layers: UnpackedLayers,
    { inUse, log }: { inUse: () => Set<string>; log: Logger },
  ) {
    this.#database = database;
    this.#content = content;
    this.#layers = layers;
    this.#inUse = inUse;
    const rows = rowsOf<ImageRow>(database.sql, "SELECT * FROM images");
    for (const row of rows) this.#take(fromRow(row), log);
    const documents = rowsOf<{
      image_id: string;
      digest: string;
      media_type: string;
      size: number;
    }>(database.sql, "SELECT * FROM image_documents");
    for (const { image_id, digest, media_type: mediaType, size } of documents) {
      this.#images.get(image_id)?.documents.set(digest, { mediaType, digest, size });
    }
    const names = rowsOf<{
      name: string;
      image_id: string;
      tagged_at: number;
      index_digest: string;
      origin_digest: string;
    }>(database.sql, "SELECT * FROM image_names");
    for (const { name, image_id, tagged_at: taggedAt, ...of } of names) {
      const given = { taggedAt, index: of.index_digest, origin: of.origin_digest };
      this.#images.get(image_id)?.names.set(name, given);
      this.#names.set(name, image_id);
    }
  }

  /** Takes up a stored image, unless a power cut has cost it a layer. */
  #take(image: Image, log: Logger): void {
    const whole = image.config.rootfs.diff_ids.every((diffId) => this.#layers.get(diffId));
    if (whole) {
      this.#images.set(image.id, image);
      return;
    }
    log.warn("an image has lost a layer and is forgotten", { id: image.id });
    this.#forget(image.id);
  }

  #forget(id: string): void {
    const { sql } = this.#database;
    const forget = () => {
      sql.prepare("DELETE FROM image_names WHERE image_id = ?").run(id);
      sql.prepare("DELETE FROM image_documents WHERE image_id = ?").run(id);
      sql.prepare("DELETE FROM images WHERE id = ?").run(id);
    };
    this.#database.free(() => this.#database.transaction(forget));
  }

  async put(
    rawConfig: Uint8Array,
    options: {
      manifest?: Uint8Array;
      manifestType?: string;
      parent?: string;
      indexes?: readonly Document[];
    } = {},
  ): Promise<string> {
    const config = parseImageConfig(rawConfig);
    for (const diffId of config.rootfs.diff_ids) {
      if (this.#layers.get(diffId) === undefined) {
        throw new GantryError("not-found", `Layer ${diffId} of the image is not stored`);
      }
    }
    const id = digestOf(rawConfig);
    const { manifest: raw, manifestType: mediaType = OCI_MANIFEST, indexes = [] } = options;
    const documents = [...(raw ? [{ raw, mediaType }] : []), ...indexes];
    await this.#pinning([id, ...config.rootfs.diff_ids], documents, async (descriptors) => {
      await this.#content.put(rawConfig);
      const manifest = raw && descriptors[0];
      this.#record({ id, rawConfig, config }, { manifest, descriptors, parent: options.parent });
    });
    return id;
  }

  async addDocuments(id: string, documents: readonly Document[]): Promise<void> {
    const image = this.#images.get(id);
    if (image === undefined) throw new GantryError("not-found", `No such image: ${id}`);
    const fresh: Document[] = [];
    for (const document of documents) {
      const digest = digestOf(document.raw);
      const isHere = image.documents.has(digest) && (await this.#content.has(digest));
      if (!isHere) fresh.push(document);
    }
    if (fresh.length === 0) return;
    await this.#pinning([id], fresh, async (descriptors) => {
      this.#database.transaction(() => this.#recordDocuments(image, descriptors));
    });
  }

  async dropDocuments(id: string, digests: readonly string[]): Promise<void> {
    const image = this.#images.get(id);
    const doomed = digests.filter((digest) => image?.documents.has(digest));
    const row = this.#database.sql.prepare(
      "DELETE FROM image_documents WHERE image_id = ? AND digest = ?",
    );
    const forget = () => {
      for (const digest of doomed) row.run(id, digest);
    };
    this.#database.free(() => this.#database.transaction(forget));
    for (const digest of doomed) {
      image?.documents.delete(digest);
      // An image's own config and manifest are needed whatever its documents are.
      await this.#content.remove(digest, { unless: () => this.needsBlob(digest) });
    }
  }

  document(digest: string): Descriptor | undefined {
    for (const { documents } of this.#images.values()) {
      const found = documents.get(digest);
      if (found) return found;
    }
    return undefined;
  }

  /** Stores documents; nothing of them or of `digests` is collected before `work` has ended. */
  async #pinning(
    digests: readonly string[],
    documents: readonly Document[],
    work: (descriptors: Descriptor[]) => Promise<void>,
  ): Promise<void> {
    const pin = Symbol(digests[0]);
    this.#pinned.set(pin, [...digests, ...documents.map(({ raw }) => digestOf(raw))]);
    try {
      const descriptors: Descriptor[] = [];
      for (const { raw, mediaType } of documents) {
        descriptors.push({ mediaType, ...(await this.#content.put(raw)) });
      }
      await work(descriptors);
    } finally {
      this.#pinned.delete(pin);
    }
  }

  #record(
    { id, rawConfig, config }: Pick<Image, "id" | "rawConfig" | "config">,
    found: {
      manifest: Descriptor | undefined;
      descriptors: readonly Descriptor[];
      parent: string | undefined;
    },
  ): void {
    const known = this.#images.get(id);
    const parent = found.parent ?? known?.parent;
    const manifest = found.manifest ?? known?.manifest;
    const image: Image = {
      id,
      rawConfig,
      config,
      createdAt: known?.createdAt ?? Date.now(),
      names: known?.names ?? new Map(),
      documents: known?.documents ?? new Map(),
      ...(manifest ? { manifest } : {}),
      ...(parent === undefined ? {} : { parent }),
    };
    this.#database.transaction(() => {
      this.#database.sql
        .prepare("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?)")
        .run(
          id,
          rawConfig,
          image.manifest?.digest ?? null,
          image.manifest?.mediaType ?? null,
          image.manifest?.size ?? null,
          image.parent ?? null,
          image.createdAt,
        );
      this.#recordDocuments(image, found.descriptors);
    });
    this.#images.set(id, image);
  }

  #recordDocuments(image: Image, descriptors: readonly Descriptor[]): void {
    const row = this.#database.sql.prepare(
      "INSERT OR REPLACE INTO image_documents VALUES (?, ?, ?, ?)",
    );
    for (const descriptor of descriptors) {
      row.run(image.id, descriptor.digest, descriptor.mediaType, descriptor.size);
      image.documents.set(descriptor.digest, descriptor);
    }
  }

  /** `reference` is a tag ("alpine:3.20") or a digest reference ("alpine@sha256:…"). */
  async tag(id: string, reference: string, { index = "", origin = "" } = {}): Promise<void> {
    const image = this.#images.get(id);
    if (image === undefined) throw new GantryError("not-found", `No such image: ${id}`);
    const name = formatReference(parseReference(reference));
    const now = Date.now();
    this.#database.sql
      .prepare("INSERT OR REPLACE INTO image_names VALUES (?, ?, ?, ?, ?)")
      .run(name, id, now, index, origin);
    const before = this.#names.get(name);
    if (before !== undefined) this.#images.get(before)?.names.delete(name);
    image.names.set(name, { taggedAt: now, index, origin });
    this.#names.set(name, id);
  }

  async untag(reference: string): Promise<void> {
    const name = formatReference(parseReference(reference));
    const id = this.#names.get(name);
    if (id === undefined) throw new GantryError("not-found", `No such image: ${reference}`);
    const row = this.#database.sql.prepare("DELETE FROM image_names WHERE name = ?");
    this.#database.free(() => row.run(name));
    this.#names.delete(name);
    this.#images.get(id)?.names.delete(name);
  }

  resolve(reference: string): StoredImage | undefined {
    const id = findImage(reference, { images: this.#images, names: this.#names });
    return id === undefined ? undefined : this.get(id);
  }

  get(id: string): StoredImage | undefined {
    const image = this.#images.get(id);
    if (image === undefined) return undefined;
    const names = [...image.names.keys()].sort();
    const times = [...image.names.values()].map(({ taggedAt }) => taggedAt);
    const taggedAt = Math.max(image.createdAt, ...times);
    const indexesBy = (key: "index" | "origin") =>
      new Map(
        [...image.names].flatMap(([name, of]) => (of[key] ? [[name, of[key]] as const] : [])),
      );
    return {
      id,
      config: image.config,
      rawConfig: image.rawConfig,
      layers: image.config.rootfs.diff_ids.map((diffId) => this.#layer(diffId)),
      references: names.filter((name) => !name.includes("@")),
      digests: names.filter((name) => name.includes("@")),
      documents: [...image.documents.values()],
      indexes: indexesBy("index"),
      origins: indexesBy("origin"),
      createdAt: new Date(taggedAt),
      ...(image.manifest ? { manifest: image.manifest } : {}),
      ...(image.parent !== undefined ? { parent: image.parent } : {}),
    };
  }

  #layer(diffId: string): Layer {
    const layer = this.#layers.get(diffId);
    if (layer === undefined) throw new GantryError("corrupt", `Layer ${diffId} is missing`);
    return layer;
  }

  list(): StoredImage[] {
    return [...this.#images.keys()].map((id) => this.get(id)!);
  }

  /** Ids of the images that were made from `id`. */
  children(id: string): string[] {
    return [...this.#images.values()].filter((image) => image.parent === id).map(({ id }) => id);
  }

  async remove(id: string): Promise<string[]> {
    const image = this.#images.get(id);
    if (image === undefined) throw new GantryError("not-found", `No such image: ${id}`);
    this.#forget(id);
    this.#images.delete(id);
    for (const name of image.names.keys()) this.#names.delete(name);
    const others = [...this.#images.values()];
    for (const digest of [id, ...image.documents.keys()]) {
      await this.#content.remove(digest, { unless: () => this.needsBlob(digest) });
    }
    const chains = chainIds(image.config.rootfs.diff_ids);
    const kept = new Set(others.flatMap((other) => chainIds(other.config.rootfs.diff_ids)));
    await this.onRemoved();
    await this.collect(image.config.rootfs.diff_ids);
    return chains.filter((chain) => !kept.has(chain)).reverse();
  }

  /** Deletes those of `diffIds` that no image, snapshot or lease uses. */
  async collect(diffIds: Iterable<string>): Promise<string[]> {
    // Looked up and forgotten in one go: others store images meanwhile.
    const used = this.#usedLayers();
    const unused = new Set(diffIds).difference(used);
    const removed = [...unused].filter((diffId) => this.#layers.get(diffId) !== undefined);
    await this.#layers.remove(...removed);
    return removed;
  }

  #usedLayers(): Set<string> {
    const used = this.#inUse();
    for (const { config } of this.#images.values()) {
      for (const diffId of config.rootfs.diff_ids) used.add(diffId);
    }
    for (const digests of this.#pinned.values()) for (const digest of digests) used.add(digest);
    return used;
  }

  /** Whether an image, stored or on its way, needs this blob. */
  needsBlob(digest: string): boolean {
    for (const { id, documents, manifest } of this.#images.values()) {
      if (digest === id || digest === manifest?.digest || documents.has(digest)) return true;
    }
    return this.#inUse().has(digest) || [...this.#pinned.values()].flat().includes(digest);
  }
}

function fromRow(row: ImageRow): Image {
  const manifest = row.manifest_digest !== null && {
    digest: row.manifest_digest,
    mediaType: row.manifest_type!,
    size: row.manifest_size!,
  };
  return {
    id: row.id,
    rawConfig: row.config,
    config: parseImageConfig(row.config),
    createdAt: row.created_at,
    names: new Map(),
    documents: new Map(),
    ...(manifest ? { manifest } : {}),
    ...(row.parent === null ? {} : { parent: row.parent }),
  };
}
