// Pull: connects the registry client with the stores. Layers are unpacked while they come; what is
// here or arrives is leased until the image has its names.

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import {
  messagesOf,
  type Platform,
  type PullStore,
  parsePlatform,
  pullImages,
} from "../../distribution/index.ts";
import { familiarReference, parseReference, type Reference } from "../../spec/index.ts";
import { decompress, type Lease } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Images, Progress } from "../contract.ts";
import { hostPlatform } from "./find.ts";
import { announceImage } from "./tag.ts";

type PullOptions = Parameters<Images["pull"]>[1];

/** Yields docker's progress. Commit point: the image is named. */
export async function* pullImage(
  engine: EngineContext,
  name: string,
  o: PullOptions = {},
): AsyncGenerator<Progress> {
  const reference = pullReference(name, o.tag ?? "");
  const host = hostPlatform();
  const platform: Platform = o.platform ? parsePlatform(o.platform, host) : host;
  const { credentials = {} } = o;
  const lease = engine.storage.lease();
  const brought = new Set<string>();
  try {
    yield* messagesOf((tell, signal) => {
      const store = pullStore(engine, lease, { brought, signal });
      const platformIsAsked = Boolean(o.platform);
      const request = { reference, platform, platformIsAsked, credentials, tell, signal };
      return pullImages(engine.registries, store, request);
    }, o.signal);
  } finally {
    lease.release();
    await engine.storage.collectLayers(brought);
  }
  const found = engine.storage.images.resolve(name) ?? undefined;
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

function pullStore(
  { storage }: EngineContext,
  lease: Lease,
  { brought, signal }: { brought: Set<string>; signal: AbortSignal },
): PullStore {
  const { images, layers } = storage;
  return {
    hasImage: (id) => images.get(id) !== undefined,
    isNamed: (id, reference) => {
      const image = images.get(id);
      return image !== undefined && [...image.references, ...image.digests].includes(reference);
    },
    holdLayer: (diffId) => {
      lease.add(diffId);
      return layers.get(diffId) !== undefined;
    },
    unpack: async (diffId, blob, bytes) => {
      brought.add(diffId);
      await unpack(storage, diffId, bytes, { lease, signal });
      layers.noteBlob(diffId, blob);
    },
    commit: async ({ rawConfig, manifest, manifestType, references }) => {
      const id = await images.put(rawConfig, { manifest, manifestType });
      for (const reference of references) await images.tag(id, reference);
    },
    name: async (id, references) => {
      for (const reference of references) await images.tag(id, reference);
    },
  };
}

/** The blob is whole and verified when this resolves, not only as far as the tar goes. */
async function unpack(
  { layers }: EngineContext["storage"],
  diffId: string,
  bytes: Readable,
  options: { lease: Lease; signal: AbortSignal },
): Promise<void> {
  const whole = new Promise<void>((resolve, reject) => {
    bytes.once("end", resolve);
    bytes.once("error", reject);
    bytes.once("close", () => reject(new GantryError("corrupt", "unexpected EOF")));
  });
  whole.catch(() => {});
  try {
    const { stream } = await decompress(bytes);
    await layers.apply(stream, { diffId, ...options });
    if (!bytes.readableEnded) bytes.resume();
    await whole;
  } catch (error) {
    bytes.destroy();
    // Why the bytes stopped says more than what unpacking made of it.
    throw bytes.errored ?? error;
  }
}
