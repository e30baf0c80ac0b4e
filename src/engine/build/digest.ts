// The content digest of what is copied: names, kinds, modes, owners, links, attributes and the
// digests of contents, in the order of names. Times are no part of it: a fresh checkout is the same
// content. It is one for a context however it came (session, tar, folder) and for layers.

import { createHash } from "node:crypto";
import type { FileSelection } from "../../build/index.ts";
import type { EngineContext } from "../context.ts";
import { layerDigests } from "./digest-memory.ts";
import { type FoundSelection, findSelection } from "./selection.ts";
import type { TarFile } from "./tar-scanner.ts";
import type { Workspace } from "./workspace.ts";

const BATCH_LINES = 4096;

interface DigestPlace {
  engine: EngineContext;
  workspace: Workspace;
}

/** The digest of what COPY names. Those of layers are remembered, since a layer never changes. */
export async function selectionDigest(
  { workspace, engine }: DigestPlace,
  selection: FileSelection,
  o: { signal: AbortSignal },
): Promise<string> {
  const { from, paths, exclude } = selection;
  const files = workspace.files(from);
  const what = JSON.stringify([paths.map(({ path, pattern }) => [path, pattern]), exclude]);
  const ofLayers = from.kind === "root" ? from.root.layers : undefined;
  const memory = files.digests ?? (ofLayers && layerDigests(engine.storage, ofLayers));
  const known = memory?.get(what);
  if (known !== undefined) return known;
  const digest = await digestSelection(await findSelection(files, selection, o), o);
  memory?.set(what, digest);
  return digest;
}

export async function digestSelection(
  { files, items, excludes }: FoundSelection,
  { signal }: { signal: AbortSignal },
): Promise<string> {
  const hash = createHash("sha256");
  for (const item of items) {
    hash.update(`item ${JSON.stringify([item.name, item.into, item.isFolder])}\n`);
    const lines: string[] = [];
    for await (const [file, digest] of files.list(item, excludes, { signal })) {
      lines.push(lineOf(file, digest));
      if (lines.length < BATCH_LINES) continue;
      hash.update(lines.splice(0).join(""));
      signal.throwIfAborted();
    }
    hash.update(lines.join(""));
  }
  return `sha256:${hash.digest("hex")}`;
}

/** Lines of JSON, so that no two trees give the same bytes. */
function lineOf(file: TarFile, digest: string): string {
  const { name, type, mode, uid, gid, size, link, major, minor, xattrs } = file;
  const facts: unknown[] = [name, type, mode & 0o7777, uid, gid, size, link, digest];
  if (type === "3" || type === "4") facts.push(major, minor);
  if (xattrs.length > 0) {
    facts.push(xattrs.map(([key, value]) => [key, value.toString("base64")]).sort());
  }
  return `${JSON.stringify(facts)}\n`;
}
