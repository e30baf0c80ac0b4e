// What one repository needs: its live manifests and, from their bytes, every digest they mention.
// Read generously: a format that is not understood must not cost anybody a layer.

import { GantryError, kindOf, type Logger } from "../base/index.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import { isBlobType, type ManifestDocument, parseManifest } from "./manifest-document.ts";
import { isDigest } from "./names.ts";
import type { Presence } from "./presence.ts";
import {
  kindOfPath,
  layersFolder,
  referrersFolder,
  revisionsFolder,
  tagLink,
  tagsFolder,
} from "./storage-paths.ts";

interface Link {
  path: string;
  digest: string;
  facts: ObjectFacts;
}
export interface LiveManifest {
  size: number; // bytes
  document: ManifestDocument;
}
export interface Findings {
  /** Live manifests; undefined for one that cannot be read as a manifest. */
  manifests: Map<string, LiveManifest | undefined>;
  /** Every blob that they mention. */
  blobs: Set<string>;
  revisionLinks: Link[];
  layerLinks: Link[];
  referrerLinks: (Link & { subject: string })[];
}

export async function markRepository(
  store: ObjectStore,
  name: string,
  options: {
    presence: Presence;
    removeUntagged: boolean;
    isYoung: (facts: ObjectFacts) => boolean;
    logger: Logger;
  },
): Promise<Findings> {
  const found: Findings = {
    manifests: new Map(),
    blobs: new Set(),
    revisionLinks: [],
    layerLinks: [],
    referrerLinks: [],
  };
  await readLinks(store, name, found);
  const tagged = await tagTargets(store, name);
  const roots = options.removeUntagged
    ? found.revisionLinks.filter(({ facts }) => options.isYoung(facts))
    : found.revisionLinks;
  const linked = new Set([...tagged, ...found.revisionLinks.map(({ digest }) => digest)]);
  const pending = [...tagged, ...roots.map(({ digest }) => digest)];
  // Who refers to whom: a live subject keeps what is attached to it.
  const attached = Map.groupBy(found.referrerLinks, ({ subject }) => subject);
  for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
    if (found.manifests.has(digest)) continue;
    const raw = await options.presence.readData(digest);
    found.manifests.set(digest, raw === undefined ? undefined : parsed(raw));
    if (raw === undefined) {
      // A cache has of an index what was asked for; what the repository says it has is lost.
      const level = linked.has(digest) ? "warn" : "debug";
      options.logger[level]("A manifest is missing", { repository: name, digest });
      continue;
    }
    const mentioned = mentions(raw);
    if (mentioned === undefined) {
      const what = `The manifest ${digest} of ${name} is damaged`;
      throw new GantryError("corrupt", `${what}: delete it, so that its layers are not in doubt`);
    }
    for (const blob of mentioned.blobs) found.blobs.add(blob);
    pending.push(...mentioned.manifests);
    pending.push(...(attached.get(digest) ?? []).map((link) => link.digest));
  }
  return found;
}

async function readLinks(store: ObjectStore, name: string, found: Findings): Promise<void> {
  const folders = [revisionsFolder(name), layersFolder(name), referrersFolder(name)];
  for (const folder of folders) {
    for await (const { path, ...facts } of store.walk(folder)) {
      const kind = kindOfPath(path);
      if (kind?.kind === "revision") {
        found.revisionLinks.push({ path, digest: kind.digest, facts });
      } else if (kind?.kind === "layer") {
        found.layerLinks.push({ path, digest: kind.digest, facts });
      } else if (kind?.kind === "referrer") {
        const { digest, subject } = kind;
        found.referrerLinks.push({ path, digest, subject, facts });
      }
    }
  }
}

async function tagTargets(store: ObjectStore, name: string): Promise<string[]> {
  const targets: string[] = [];
  for (const folder of await store.list(tagsFolder(name))) {
    const raw = await store.read(tagLink(name, folder.replace(/\/$/, ""))).catch((error) => {
      if (kindOf(error) !== "not-found") throw error; // deleted meanwhile
    });
    const digest = raw?.toString("latin1").trim();
    if (isDigest(digest)) targets.push(digest);
  }
  return targets;
}

function parsed(raw: Buffer): LiveManifest | undefined {
  try {
    return { size: raw.length, document: parseManifest(raw) };
  } catch {
    return undefined; // accepted by another registry once; its mentions count all the same
  }
}

/** Every digest that a manifest of any known or older format holds. */
function mentions(raw: Buffer): { blobs: string[]; manifests: string[] } | undefined {
  let document: Record<string, unknown> | null;
  try {
    document = JSON.parse(raw.toString("utf8")) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const digests = (value: unknown): string[] =>
    (Array.isArray(value) ? value : [value]).flatMap((entry) => {
      const { digest, blobSum } = (entry ?? {}) as Record<string, unknown>;
      return [digest, blobSum].filter(isDigest);
    });
  const { config, layers, blobs, fsLayers, manifests } = document ?? {};
  const isBlob = (entry: unknown): boolean => {
    const { mediaType } = (entry ?? {}) as Record<string, unknown>;
    return typeof mediaType === "string" && isBlobType(mediaType);
  };
  const listed: unknown[] = Array.isArray(manifests) ? manifests : [manifests];
  const cached = listed.filter(isBlob);
  return {
    blobs: [config, layers, blobs, fsLayers, cached].flatMap(digests),
    manifests: digests(listed.filter((entry) => !isBlob(entry))),
  };
}
