// Caches in folders of the caller (type=local): the daemon reads and writes their blobs through the
// session; which manifest is the current one stands in the folder's index, which is ours to keep.

import { parseReference } from "../../../../spec/index.ts";
import { callerPath } from "../../../io.ts";
import type { Session } from "../../../session.ts";
import { findInLayout, type LayoutDescriptor, putInLayout } from "../session/content-store.ts";
import type { CacheRequest } from "./solve.ts";
import { invalid } from "./specs.ts";

export interface LocalCaches {
  imports: CacheRequest[];
  exports: CacheRequest[];
  stores: Map<string, string>;
  /** Folders that get a new manifest, with its tag. */
  written: { folder: string; tag: string }[];
}

/** A cache that is not there yet is said, and left out: the first build has none. */
export async function localCaches(
  session: Session,
  imports: readonly CacheRequest[],
  exports: readonly CacheRequest[],
): Promise<LocalCaches> {
  const { io } = session;
  const all: LocalCaches = { imports: [], exports: [], stores: new Map(), written: [] };
  for (const one of imports) {
    if (one.type !== "local") {
      all.imports.push(one);
      continue;
    }
    const { src, tag = "latest", digest } = one.attrs;
    if (!src) throw invalid("local cache importer requires src");
    const folder = callerPath(io, src);
    const found = digest ?? (await findInLayout(folder, tag));
    if (found === undefined) {
      session.warn(`WARNING: local cache import at ${src} not found: it has no ${tag}`);
      continue;
    }
    all.stores.set(`local:${folder}`, folder);
    all.imports.push({ type: "local", attrs: { ...one.attrs, src: folder, digest: found } });
  }
  for (const one of exports) {
    if (one.type !== "local") {
      all.exports.push(one);
      continue;
    }
    const { dest, tag = "latest" } = one.attrs;
    if (!dest) throw invalid("local cache exporter requires dest");
    const folder = callerPath(io, dest);
    all.stores.set(`local:${folder}`, folder);
    all.written.push({ folder, tag });
    all.exports.push({ type: "local", attrs: { ...one.attrs, dest: folder } });
  }
  return all;
}

/** Writes the indexes of the folders that were filled. */
export async function writeLayouts(
  response: Readonly<Record<string, string>>,
  { caches, outputs }: { caches: LocalCaches["written"]; outputs: readonly string[] },
): Promise<void> {
  const manifest = response["cache.manifest"];
  if (manifest !== undefined) {
    const descriptor = JSON.parse(manifest) as LayoutDescriptor;
    for (const { folder, tag } of caches) await putInLayout(folder, tag, descriptor);
  }
  const image = response["containerimage.descriptor"];
  if (image === undefined) return;
  const descriptor = JSON.parse(Buffer.from(image, "base64").toString()) as LayoutDescriptor;
  for (const folder of outputs) {
    const name = response["image.name"]?.split(",")[0] ?? "";
    const { tag = "latest" } = name === "" ? {} : parseReference(name);
    await putInLayout(folder, tag, descriptor);
  }
}
