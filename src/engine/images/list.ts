// The images, youngest first, by docker's filters. Untagged images that are parents of others are
// hidden unless all are wanted.

import { GantryError } from "../../base/index.ts";
import { familiarName, parseReference } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import { matchesLabel } from "../containers/filter.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Image, Signal } from "../contract.ts";
import { parseMoment } from "../prune-filters.ts";
import { millisecondsOf } from "../timestamps.ts";
import { companionIds } from "./companions.ts";
import { findImage } from "./find.ts";
import { imageManifests } from "./image-manifests.ts";
import { familiar, renderImage } from "./render.ts";

const KEYS = ["dangling", "label", "before", "since", "reference", "until"];

export async function listImages(
  engine: EngineContext,
  o: Signal & {
    all?: boolean;
    filters?: Filters;
    sharedSize?: boolean;
    manifests?: boolean;
  } = {},
): Promise<Image[]> {
  const filters = o.filters ?? new Map<string, readonly string[]>();
  for (const key of filters.keys()) {
    if (!KEYS.includes(key)) throw new GantryError("invalid", `invalid filter '${key}'`);
  }
  const images = engine.storage.images.list();
  const parents = new Set(images.map((image) => image.parent).filter(Boolean));
  // What nobody sees apart: parents of other images, and an index's further platforms.
  const hidden = new Set([...parents, ...companionIds(images)]);
  const matches = matcher(engine, filters, hidden);
  const layerUses = countLayerUses(images);
  const containers = countContainers(engine);
  const found = images
    .filter((image) => o.all || image.references.length > 0 || !hidden.has(image.id))
    .filter(matches)
    .map((image) => {
      const rendered = renderImage(withNames(image, filters.get("reference")));
      rendered.containers = containers.get(image.id) ?? 0;
      if (o.sharedSize) {
        rendered.sharedSize = image.layers
          .filter((layer) => (layerUses.get(layer.diffId) ?? 0) > 1)
          .reduce((sum, layer) => sum + layer.size, 0);
      }
      return rendered;
    })
    .sort((a, b) => millisecondsOf(b.created) - millisecondsOf(a.created));
  if (!o.manifests) return found;
  const byId = new Map(images.map((image) => [image.id, image]));
  for (const shown of found) {
    shown.manifests = await imageManifests(engine, byId.get(shown.id)!);
  }
  return found;
}

function matcher(
  engine: EngineContext,
  filters: Filters,
  hidden: ReadonlySet<string | undefined>,
): (image: StoredImage) => boolean {
  const createdOf = (key: string): number | undefined => {
    const ref = filters.get(key)?.at(-1);
    return ref === undefined
      ? undefined
      : millisecondsOf(findImage(engine, ref).config.created ?? "");
  };
  const before = createdOf("before");
  const since = createdOf("since");
  const until = filters.get("until")?.[0];
  const untilMs = until === undefined ? undefined : parseMoment(until);
  const dangling = danglingWanted(filters.get("dangling"));
  return (image) => {
    const created = millisecondsOf(image.config.created ?? "");
    if (before !== undefined && created >= before) return false;
    if (since !== undefined && created <= since) return false;
    if (untilMs !== undefined && created > untilMs) return false;
    const isDangling = image.references.length === 0 && !hidden.has(image.id);
    if (dangling !== undefined && dangling !== isDangling) return false;
    const labels = image.config.config?.Labels ?? {};
    if (!(filters.get("label") ?? []).every((label) => matchesLabel(labels, label))) return false;
    const patterns = filters.get("reference") ?? [];
    return patterns.length === 0 || patterns.some((pattern) => matchesReference(image, pattern));
  };
}

export function danglingWanted(values: readonly string[] | undefined): boolean | undefined {
  const value = values?.at(-1);
  if (value === undefined) return undefined;
  if (["1", "true"].includes(value)) return true;
  if (["0", "false"].includes(value)) return false;
  throw new GantryError("invalid", `invalid filter 'dangling=[${value}]'`);
}

function matchesReference(image: StoredImage, pattern: string): boolean {
  return image.references.some((reference) => matchesName(reference, pattern));
}

/** Shell patterns over the familiar name, with or without the tag; `*` stops at slashes. */
function matchesName(reference: string, pattern: string): boolean {
  const expression = shellPattern(pattern);
  const parsed = parseReference(reference, { defaultTag: false });
  const names = [familiar(reference), familiarName(parsed)];
  if (/^(index\.)?docker\.io\//.test(pattern)) names.push(reference);
  return names.some((name) => expression.test(name));
}

/** Names that do not match are not shown, as in docker. */
function withNames(image: StoredImage, patterns: readonly string[] | undefined): StoredImage {
  if (patterns === undefined || patterns.length === 0) return image;
  const matching = (names: readonly string[]) =>
    names.filter((name) => patterns.some((pattern) => matchesName(name, pattern)));
  const { references, digests } = image;
  return { ...image, references: matching(references), digests: matching(digests) };
}

export function shellPattern(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replace(/\*+/g, "[^/]*")
    .replace(/\?/g, "[^/]");
  try {
    return new RegExp(`^${source}$`);
  } catch (cause) {
    throw new GantryError("invalid", "syntax error in pattern", { cause });
  }
}

function countLayerUses(images: readonly StoredImage[]): Map<string, number> {
  const uses = new Map<string, number>();
  for (const { layers } of images) {
    for (const { diffId } of layers) uses.set(diffId, (uses.get(diffId) ?? 0) + 1);
  }
  return uses;
}

function countContainers(engine: EngineContext): Map<string, number> {
  const counts = new Map<string, number>();
  for (const c of engine.containers.all()) {
    counts.set(c.imageId, (counts.get(c.imageId) ?? 0) + 1);
  }
  return counts;
}
