// BuildKit's cache config (application/vnd.buildkit.cacheconfig.v0): layers by blob and diff id,
// and records that name them by index. The digest of a record is our cache key; what BuildKit has
// no field for stands in "gantry", which others pass over. Everything that is read is hostile: a
// config that is odd anywhere is no config. Pure.

import { GantryError } from "../../../base/index.ts";
import { isDigest } from "../../../spec/index.ts";
import type { Descriptor } from "../../../storage/index.ts";

export const CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0";
/** The field of an image config that holds the records of its layers. */
export const INLINE_FIELD = "moby.buildkit.cache.v0";
export const CONFIG_BYTES_MAX = 64 * 1024 * 1024;
const RECORDS_MAX = 500_000;
const LAYERS_MAX = 100_000;
const DESCRIPTION_CHARS_MAX = 4096;
const INPUTS_MAX = 1000;

/** A layer with the blob in which it can be had. */
export interface CachedLayer {
  diffId: string;
  blob: Descriptor;
}
export interface CachedStep {
  key: string;
  /** Its diff id; undefined: the step changed nothing. */
  layer: string | undefined;
  description: string;
  createdAtMs: number;
  /** Keys. */
  inputs: readonly string[];
}
export interface CacheContents {
  layers: readonly CachedLayer[];
  steps: readonly CachedStep[];
}

type Json = Record<string, unknown>;

/** The whole config. */
export function encodeCacheConfig({ layers, steps }: CacheContents): Uint8Array {
  const entries = layers.map(({ diffId, blob }) => ({
    blob: blob.digest,
    parent: -1,
    annotations: { mediaType: blob.mediaType, diffID: diffId, size: blob.size },
  }));
  const diffIds = layers.map(({ diffId }) => diffId);
  return Buffer.from(JSON.stringify({ layers: entries, records: recordsOf(steps, diffIds) }));
}

/** What stands in an image's config: the records alone, whose layers are those of the image. */
export function encodeInline(steps: readonly CachedStep[], diffIds: readonly string[]): string {
  return Buffer.from(JSON.stringify(recordsOf(steps, diffIds))).toString("base64");
}

/** Those whose layer is among `diffIds`, and those without one. */
function recordsOf(steps: readonly CachedStep[], diffIds: readonly string[]): Json[] {
  const at = new Map(diffIds.map((diffId, index) => [diffId, index]));
  const kept = steps.filter(({ layer }) => layer === undefined || at.has(layer));
  const place = new Map(kept.map(({ key }, index) => [key, index]));
  return kept.map(({ key, layer, description, createdAtMs, inputs }) => {
    const createdAt = new Date(createdAtMs).toISOString();
    const links = inputs.flatMap((input) => {
      const link = place.get(input);
      return link === undefined ? [] : [[{ link }]];
    });
    return {
      ...(layer !== undefined && { layers: [{ layer: at.get(layer)!, createdAt }] }),
      digest: key,
      ...(links.length > 0 && { inputs: links }),
      gantry: { description, ...(layer === undefined && { empty: true, createdAt }) },
    };
  });
}

/** Throws corrupt. `blobs`: the descriptors that the manifest has for the layers. */
export function decodeCacheConfig(
  raw: Uint8Array,
  blobs: ReadonlyMap<string, Descriptor>,
): CacheContents {
  const config = object(parse(raw));
  const layers = list(config["layers"] ?? [], LAYERS_MAX).map((value) => {
    const entry = object(value);
    const notes = object(entry["annotations"] ?? {});
    const blob = blobs.get(digest(entry["blob"]));
    // Configs of others have layers without a diff id, which nobody here could prove.
    if (blob === undefined || notes["diffID"] === undefined) return undefined;
    return { diffId: digest(notes["diffID"]), blob };
  });
  const steps = decodeRecords(
    config["records"] ?? [],
    layers.map((layer) => layer?.diffId),
  );
  return { layers: layers.filter((layer) => layer !== undefined), steps };
}

/** `diffIds` are the image's own. */
export function decodeInline(text: string, diffIds: readonly string[]): CachedStep[] {
  if (text.length > CONFIG_BYTES_MAX) throw odd("it is too large");
  return decodeRecords(parse(Buffer.from(text, "base64")), diffIds);
}

function decodeRecords(value: unknown, diffIds: readonly (string | undefined)[]): CachedStep[] {
  const records = list(value ?? [], RECORDS_MAX).map(object);
  return records.flatMap((record) => {
    const notes = object(record["gantry"] ?? {});
    const [result] = list(record["layers"] ?? [], LAYERS_MAX).map(object);
    const layer = result === undefined ? undefined : diffIds[index(result["layer"])];
    const isEmpty = notes["empty"] === true && result === undefined;
    // Records of other builders lead nowhere by their key alone, and have no result of their own.
    if (layer === undefined && !isEmpty) return [];
    const created = result?.["createdAt"] ?? notes["createdAt"];
    return {
      key: digest(record["digest"]),
      layer,
      description: text(notes["description"] ?? "").slice(0, DESCRIPTION_CHARS_MAX),
      createdAtMs: moment(created),
      inputs: inputsOf(record, records),
    };
  });
}

function inputsOf(record: Json, records: readonly Json[]): string[] {
  return list(record["inputs"] ?? [], INPUTS_MAX).flatMap((alternatives) => {
    const [first] = list(alternatives, INPUTS_MAX).map(object);
    const input = first && records[index(first["link"] ?? 0)];
    return input ? [digest(input["digest"])] : [];
  });
}

const odd = (why: string) => new GantryError("corrupt", `the build cache is damaged: ${why}`);

function parse(raw: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(raw).toString("utf8"));
  } catch (cause) {
    throw new GantryError("corrupt", "the build cache is damaged: it is no JSON", { cause });
  }
}
function object(value: unknown): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw odd("an object is missing");
}
function list(value: unknown, max: number): unknown[] {
  if (!Array.isArray(value)) throw odd("a list is missing");
  if (value.length > max) throw odd(`a list has more than ${max} entries`);
  return value;
}
function text(value: unknown): string {
  if (typeof value !== "string") throw odd("a text is missing");
  return value;
}
function digest(value: unknown): string {
  if (typeof value === "string" && isDigest(value)) return value;
  throw odd("a digest is missing");
}
function index(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw odd("an index is missing");
}
/** Of the past: the history of an image shows it. */
function moment(value: unknown): number {
  const at = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(at)) throw odd("a time is missing");
  return Math.min(Math.max(at, 0), Date.now());
}
