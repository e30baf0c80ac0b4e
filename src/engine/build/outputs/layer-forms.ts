// The blobs under which a result's layers leave: the form in which a layer came, where that will
// do, or one that is made here. What is made is kept while the build lasts, and longer only where
// a manifest in the image store names it.

import { Readable } from "node:stream";
import { constants, createZstdCompress } from "node:zlib";
import { GantryError, parallelGzip } from "../../../base/index.ts";
import type { Descriptor } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { LayerForm } from "./attributes.ts";

export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const GZIP_DEFAULT = 1;
const ZSTD_DEFAULT = 3;
/** Each compresses on several threads. */
const layersAtOnce = 2;

/** How a blob's media type says that it is compressed: "", "gzip", "zstd". */
const compressionOf = (mediaType: string): string => /[.+](gzip|zstd)$/.exec(mediaType)?.[1] ?? "";

export interface ShapeOptions {
  hasBytes: boolean;
  isOwn: boolean;
}

export class LayerForms {
  readonly #engine: EngineContext;
  readonly #signal: AbortSignal;
  readonly #work = new Map<string, Promise<Descriptor>>();
  /** Blobs that were not kept before. */
  readonly #made = new Set<string>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(engine: EngineContext, { signal }: { signal: AbortSignal }) {
    this.#engine = engine;
    this.#signal = signal;
  }

  /** The layer's blob. `hasBytes`: it can be read here, not only at a registry; `isOwn`: the build
   * made it, so no other form than the one that is asked for will do. */
  async shape(diffId: string, form: LayerForm, o: ShapeOptions): Promise<Descriptor> {
    const known = this.#known(diffId, { ...form, force: form.force || o.isOwn }, o.hasBytes);
    if (known !== undefined) return known;
    const key = JSON.stringify([diffId, form.compression, form.level]);
    let work = this.#work.get(key);
    if (work === undefined) {
      work = this.#slot(() => this.#make(diffId, form));
      work.catch(() => this.#work.delete(key));
      this.#work.set(key, work);
    }
    return await work;
  }

  #known(diffId: string, form: LayerForm, hasBytes: boolean): Descriptor | undefined {
    const { layers } = this.#engine.storage;
    const { compression, force, level } = form;
    if (compression === "uncompressed" && (force || level === undefined)) {
      const layer = layers.get(diffId);
      if (layer) return { mediaType: OCI_LAYER, digest: diffId, size: layer.tarSize };
    }
    if (force && level !== undefined) return undefined;
    const kept = new Set(layers.keptBlobs(diffId).map(({ digest }) => digest));
    const found = layers
      .blobs(diffId)
      .filter(({ mediaType }) => (force ? compressionOf(mediaType) === compression : true))
      .filter(({ mediaType }) => compressionOf(mediaType) !== "")
      .filter(({ digest }) => kept.has(digest) || (!hasBytes && layers.sources(digest).length > 0));
    // The form that was asked for before any other.
    return found.find(({ mediaType }) => compressionOf(mediaType) === compression) ?? found[0];
  }

  async #make(diffId: string, { compression, level }: LayerForm): Promise<Descriptor> {
    const { content, layers } = this.#engine.storage;
    const tar = await layers.tar(diffId);
    const abort = () => tar.destroy(this.#signal.reason);
    this.#signal.addEventListener("abort", abort, { once: true });
    try {
      const { digest, size } = await content.put(compressed(tar, compression, level));
      const descriptor = { mediaType: `${OCI_LAYER}+${compression}`, digest, size };
      const isNew = !layers.keptBlobs(diffId).some((blob) => blob.digest === digest);
      layers.noteBlob(diffId, descriptor);
      layers.keepBlob(digest);
      if (isNew) this.#made.add(digest);
      return descriptor;
    } catch (error) {
      throw this.#signal.aborted ? this.#signal.reason : error;
    } finally {
      this.#signal.removeEventListener("abort", abort);
      tar.destroy();
    }
  }

  async #slot<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= layersAtOnce) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  /** The bytes of a blob that shape() gave. */
  async open(diffId: string, digest: string): Promise<Readable> {
    const { content, layers } = this.#engine.storage;
    return digest === diffId ? await layers.tar(diffId) : await content.open(digest);
  }

  /** Lets go of what was made, but for what the image store goes on needing. */
  async release(needed: ReadonlySet<string>): Promise<void> {
    for (const digest of this.#made) {
      if (!needed.has(digest)) await this.#engine.storage.layers.dropBlob(digest);
    }
    this.#made.clear();
  }
}

function compressed(
  tar: Readable,
  compression: LayerForm["compression"],
  level: number | undefined,
): AsyncIterable<Uint8Array> {
  if (compression === "gzip") return parallelGzip(tar, { level: level ?? GZIP_DEFAULT });
  if (compression !== "zstd") {
    throw new GantryError("internal", `layers are not made ${compression}`);
  }
  const params = {
    [constants.ZSTD_c_compressionLevel]: level || ZSTD_DEFAULT,
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  const zstd = createZstdCompress({ params, chunkSize: 256 * 1024 });
  tar.once("error", (error) => zstd.destroy(error));
  tar.pipe(zstd);
  return Readable.from(zstd);
}
