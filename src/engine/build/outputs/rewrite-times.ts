// rewrite-timestamp: layers of the build with no file younger than SOURCE_DATE_EPOCH, so that the
// same inputs give the same layers whenever they are built. Layers of base images stay as they are.

import { Readable } from "node:stream";
import type { Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import { type TarFile, TarScanner } from "../tar-scanner.ts";
import { contentEnd, fileHeader, tarEnd } from "../tar-writer.ts";

interface RewritePlace {
  engine: EngineContext;
  lease: Lease;
  signal: AbortSignal;
}

/** Which layer came of which, so that a warm build reads nothing again. */
const COLLECTION = "build-clamped";

/** Returns the diff id of the layer with its times clamped; it may be the same one. */
export async function clampLayer(
  { engine, lease, signal }: RewritePlace,
  diffId: string,
  epochSeconds: number,
): Promise<string> {
  const { layers, records } = engine.storage;
  const known = records.collection<{ layer: string }>(COLLECTION);
  const key = `${epochSeconds} ${diffId}`;
  const before = known.get(key)?.layer;
  if (before !== undefined && layers.get(before)) {
    lease.add(before);
    return before;
  }
  const tar = Readable.from(clamped(await layers.tar(diffId), epochSeconds), { objectMode: false });
  const layer = await layers.apply(tar, { lease, signal });
  for (const [other] of known.all()) {
    if (!layers.get(other.slice(other.indexOf(" ") + 1))) known.delete(other);
  }
  known.put(key, { layer: layer.diffId });
  return layer.diffId;
}

/** The same tar, but for times after the epoch. */
async function* clamped(
  tar: AsyncIterable<Uint8Array>,
  epochSeconds: number,
): AsyncGenerator<Buffer> {
  let out: Buffer[] = [];
  let owed = 0;
  const close = (): void => {
    if (owed > 0) out.push(contentEnd(owed));
    owed = 0;
  };
  const scanner = new TarScanner({
    file: (file) => {
      close();
      out.push(fileHeader(clampFile(file, epochSeconds)));
      if (file.type === "0") owed = file.size;
    },
    data: (chunk) => void out.push(chunk),
  });
  for await (const chunk of tar) {
    scanner.push(chunk as Buffer);
    yield* out;
    out = [];
  }
  scanner.end();
  close();
  yield* out;
  yield tarEnd;
}

function clampFile(file: TarFile, epochSeconds: number): TarFile {
  return Number(file.mtime) > epochSeconds ? { ...file, mtime: String(epochSeconds) } : file;
}
