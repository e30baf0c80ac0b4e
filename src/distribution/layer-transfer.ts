// One layer on its way from a registry to the store: downloaded into a partial blob, unpacked while
// it comes, verified, and then either let go (the registry has it) or kept.

import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { kindOf } from "../base/index.ts";
import type { Descriptor, Tell } from "./contract.ts";
import { Download, isBroken, type PartialBytes } from "./download.ts";
import { isForeign } from "./media-types.ts";
import { progressMeter, shortId, step } from "./messages.ts";
import type { Registries } from "./registries.ts";
import type { Registry } from "./registry.ts";

/** Wrong bytes are thrown away and fetched once more: an earlier run, a proxy or a disk may be to
 * blame. */
const freshTriesMax = 2;
const readAheadBytes = 256 << 10;

/** What a transfer needs of the store. */
export interface LayerSink {
  partial(blob: Descriptor): Promise<PartialBlob>;
  /** Unpacks a layer from its blob, compressed in whatever way; rejects on a wrong diff id. */
  unpack(diffId: string, blob: Descriptor, bytes: Readable, signal: AbortSignal): Promise<void>;
  /** The layer is here. `source` is the repository that holds the blob ("docker.io/library/a");
   * where there is none, the bytes are kept. */
  settle(
    diffId: string,
    blob: Descriptor,
    from: { source?: string; bytes: () => Readable },
  ): Promise<void>;
}
export type PartialBlob = PartialBytes & AsyncDisposable & { discard(): Promise<void> };

export interface LayerTransfer {
  registries: Registries;
  registry: Registry;
  repository: string;
  /** Registry and repository as the user named them. */
  source: string;
  sink: LayerSink;
  blob: Descriptor;
  diffId: string;
}

export async function transferLayer(
  transfer: LayerTransfer,
  tell: Tell,
  signal: AbortSignal,
): Promise<void> {
  const { blob } = transfer;
  const registry = transfer.registry.withSignal(signal);
  // One blob under two diff ids is a hostile image's idea; its partial blob has one user.
  await transfer.registries.transfers.run(blob.digest, () =>
    untilRight({ ...transfer, registry }, tell, signal),
  );
  tell(step("Pull complete", shortId(blob.digest)));
}

async function untilRight(transfer: LayerTransfer, tell: Tell, signal: AbortSignal): Promise<void> {
  const { sink, blob } = transfer;
  for (let attempt = 1; ; attempt++) {
    await using partial = await sink.partial(blob);
    const outcome = await once(transfer, partial, tell, signal);
    if (outcome === undefined) return;
    const { error, download } = outcome;
    if (signal.aborted) throw error;
    const isWrong = kindOf(error) === "corrupt" && !isBroken(error);
    if (isWrong) await partial.discard();
    if (!isWrong || download.verified || attempt >= freshTriesMax) throw error;
  }
}

/** Undefined when all went well. */
async function once(
  transfer: LayerTransfer,
  partial: PartialBlob,
  tell: Tell,
  outer: AbortSignal,
): Promise<{ error: unknown; download: Download } | undefined> {
  const { registries, sink, blob, diffId, source } = transfer;
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  const origin = { foreign: false };
  const { download, complete } = prepare(transfer, partial, tell, origin);
  const fetching = registries.downloads.run(() => download.run(signal), signal, {
    onWait: () => tell(step("Waiting", shortId(blob.digest))),
  });
  const told = fetching.then(complete);
  told.catch((error) => stop.abort(error));
  try {
    await registries.unpacks.run(async () => {
      const bytes = readable(download, signal);
      await sink.unpack(diffId, blob, bytes, signal);
    }, signal);
    await told;
    const isHeld = !origin.foreign;
    await sink.settle(diffId, blob, {
      ...(isHeld ? { source } : {}),
      bytes: () => readable(download, signal),
    });
    await partial.discard();
    return undefined;
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled([fetching]);
    // The first cause: what unpacking makes of bytes that stop says less.
    return { error: outer.aborted ? outer.reason : stop.signal.reason, download };
  }
}

function readable(download: Download, signal: AbortSignal): Readable {
  return Readable.from(download.bytes(signal), {
    objectMode: false,
    highWaterMark: readAheadBytes,
    signal,
  });
}

function prepare(
  { registry, repository, blob, registries }: LayerTransfer,
  partial: PartialBytes,
  tell: Tell,
  origin: { foreign: boolean },
): { download: Download; complete: () => void } {
  const id = shortId(blob.digest);
  const downloading = progressMeter(tell, id, "Downloading", blob.size);
  const extracting = progressMeter(tell, id, "Extracting", blob.size);
  let read = 0;
  let isTold = false;
  const open = async (range: { from?: number; to?: number }, signal: AbortSignal) =>
    openBlob(registry.withSignal(signal), repository, blob, { range, origin });
  const download = new Download(blob, partial, open, {
    limits: {
      attemptsMax: registries.options.maxDownloadAttempts,
      ...registries.options.downloads,
    },
    onBytes: (bytes) => downloading(bytes, bytes === blob.size),
    onRetry: (seconds) =>
      tell(step(`Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`, id)),
    // Docker unpacks when it has all; so it is told, though here it began long before.
    onRead: (bytes) => {
      read = bytes;
      if (isTold) extracting(bytes, bytes === blob.size);
    },
  });
  const complete = (): void => {
    tell(step("Verifying Checksum", id));
    tell(step("Download complete", id));
    isTold = true;
    extracting(read, true);
  };
  return { download, complete };
}

/** Registries need not hold foreign layers; their manifests say where else they are. */
async function openBlob(
  registry: Registry,
  repository: string,
  { urls = [], ...blob }: Descriptor,
  { range, origin }: { range: { from?: number; to?: number }; origin: { foreign: boolean } },
): Promise<{ response: IncomingMessage; offset: number }> {
  try {
    return await registry.blob(repository, blob, range);
  } catch (error) {
    if (kindOf(error) !== "not-found" || !isForeign(blob.mediaType)) throw error;
    for (const url of urls) {
      origin.foreign = true;
      try {
        return await registry.blob(repository, { ...blob, urls: [url] }, range);
      } catch {
        // the next one, and in the end what the registry said
      }
    }
    throw error;
  }
}
