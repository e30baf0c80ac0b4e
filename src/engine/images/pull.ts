// Pull: connects the registry client with the stores. Layers are unpacked while they come; what is
// here or arrives is leased until the image has its names.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import {
  isBroken,
  messagesOf,
  type PulledImage,
  type PullStore,
  pullImages,
} from "../../distribution/index.ts";
import {
  digestOf,
  familiarReference,
  type Platform,
  parseReference,
  type Reference,
  readPlatform,
} from "../../spec/index.ts";
import { decompress, type Lease } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Images, Progress } from "../contract.ts";
import { hostPlatform } from "./find.ts";
import { announceImage } from "./tag.ts";

type Stores = EngineContext["storage"];
type PullOptions = Parameters<Images["pull"]>[1] & {
  /** The image gets no name; told where it is: for a build's base of another platform. */
  stored?: (id: string) => void;
};

/** Yields docker's progress. Commit point: the image is named. */
export async function* pullImage(
  engine: EngineContext,
  name: string,
  o: PullOptions = {},
): AsyncGenerator<Progress> {
  const { storage } = engine;
  const reference = pullReference(name, o.tag ?? "");
  const host = hostPlatform();
  const platform: Platform = o.platform ? readPlatform(o.platform, host) : host;
  const { credentials = {} } = o;
  const lease = storage.lease();
  const brought = new Set<string>();
  let goesOn = false;
  try {
    yield* messagesOf(async (tell, signal) => {
      const store = pullStore(storage, { lease, brought, stored: o.stored });
      const platformIsAsked = Boolean(o.platform);
      const request = { reference, platform, platformIsAsked, credentials, tell, signal };
      await pullImages(engine.registries, store, request).catch((error) => {
        // The next try finds the layers that have come; bad content has nothing to wait for.
        goesOn = signal.aborted || isBroken(error);
        throw error;
      });
    }, o.signal);
  } finally {
    if (!goesOn) storage.layers.unhold(brought);
    lease.release();
    await storage.collectLayers(brought);
  }
  const found = o.stored ? undefined : storage.images.resolve(name);
  if (found) announceImage(engine, "pull", found.id, familiarReference(reference));
}

/** "tag" may be a tag or a digest; without one, and without one in the name, every tag is meant. */
export function pullReference(name: string, tag: string): Reference {
  const separator = tag.includes(":") ? "@" : ":";
  const text = tag === "" ? name : `${parsedName(name)}${separator}${tag}`;
  return parseReference(text, { defaultTag: false });
}

/** The tag of the query wins over the one in the name. */
function parsedName(name: string): string {
  const { tag: _, digest: __, ...plain } = parseReference(name, { defaultTag: false });
  return `${plain.registry}/${plain.repository}`;
}

interface PullState {
  lease: Lease;
  brought: Set<string>;
  stored: ((id: string) => void) | undefined;
}

function pullStore(storage: Stores, { lease, brought, stored }: PullState): PullStore {
  const { images, layers, content } = storage;
  const addNames = async (
    id: string,
    { references, indexes }: Pick<PulledImage, "references" | "indexes">,
  ): Promise<void> => {
    if (stored) return stored(id);
    const origin = indexes[0] && digestOf(indexes[0].raw);
    for (const name of references) await images.tag(id, name, origin ? { origin } : {});
  };
  return {
    config: (id) => images.get(id)?.rawConfig,
    document: (digest) => storedDocument(storage, digest),
    named: (reference) => images.resolve(reference)?.id,
    holdLayer: (diffId) => {
      lease.add(diffId);
      const isHere = layers.get(diffId) !== undefined;
      if (!isHere) brought.add(diffId);
      return isHere;
    },
    noteSource: (diffId, { digest }, source) => {
      // What a manifest claims is believed only of blobs that were seen to give this layer.
      if (layers.byBlob(digest)?.diffId === diffId) layers.noteSource(digest, source);
    },
    partial: ({ digest, size }) => storage.partials.open(digest, size),
    unpack: (diffId, _blob, bytes, signal) => unpack(storage, diffId, bytes, signal),
    settle: async (diffId, blob, { source, bytes }) => {
      layers.noteBlob(diffId, blob);
      if (source !== undefined) layers.noteSource(blob.digest, source);
      else if (blob.digest !== diffId) {
        const lease = storage.lease([blob.digest]);
        try {
          await content.put(bytes(), blob);
          layers.keepBlob(blob.digest);
        } finally {
          lease.release();
        }
      }
    },
    commit: async ({ rawConfig, manifest, indexes, references }) => {
      const { raw, mediaType } = manifest;
      const id = await images.put(rawConfig, { manifest: raw, manifestType: mediaType, indexes });
      await addNames(id, { references, indexes });
    },
    name: async (id, { manifest, indexes, references }) => {
      await images.addDocuments(id, [manifest, ...indexes]);
      await addNames(id, { references, indexes });
    },
  };
}

async function storedDocument(
  { images, content }: Stores,
  digest: string,
): Promise<{ raw: Uint8Array; mediaType: string } | undefined> {
  const found = images.document(digest);
  if (found === undefined) return undefined;
  // Damaged on disk: it was set aside, and is fetched again.
  const raw = await content.read(digest).catch(() => undefined);
  return raw && { raw, mediaType: found.mediaType };
}

/** The blob is whole and verified when this resolves, not only as far as the tar goes. The layer
 * outlives the pull that asked first: others may share the transfer. */
async function unpack(
  { layers, lease: takeLease }: Stores,
  diffId: string,
  bytes: Readable,
  signal: AbortSignal,
): Promise<void> {
  const whole = new Promise<void>((resolve, reject) => {
    bytes.once("end", resolve);
    bytes.once("error", reject);
    bytes.once("close", () => reject(new GantryError("corrupt", "unexpected EOF")));
  });
  whole.catch(() => {});
  const lease = takeLease();
  try {
    const { stream } = await decompress(bytes);
    await layers.apply(stream, { diffId, lease, signal });
    if (!bytes.readableEnded) bytes.resume();
    await whole;
    layers.hold(diffId);
  } catch (error) {
    bytes.destroy();
    // Why the bytes stopped says more than what unpacking made of it.
    throw bytes.errored ?? error;
  } finally {
    lease.release();
  }
}
