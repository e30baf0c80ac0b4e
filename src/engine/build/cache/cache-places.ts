// What `--cache-from` and `--cache-to` ask for, parsed once. What is not supported is refused
// before anything is built; an attribute that a type does not know is refused too.

import { GantryError, parseBool } from "../../../base/index.ts";
import { isDigest, parseReference, type Reference } from "../../../spec/index.ts";
import type { BuildJob, CachePlace } from "../job.ts";
import type { LayerForm } from "../outputs/attributes.ts";

export type CacheSource =
  | { kind: "registry"; reference: Reference; insecure: boolean; name: string }
  /** An image that is here, else of its registry: the classic door's. */
  | { kind: "image"; reference: Reference; insecure: boolean; name: string }
  | { kind: "local"; store: string; digest: string; name: string };

interface Target {
  mode: "min" | "max";
  form: LayerForm;
  ociTypes: boolean;
  imageManifest: boolean;
  ignoreError: boolean;
  name: string;
}
export type CacheTarget =
  | (Target & { kind: "registry"; reference: Reference; insecure: boolean })
  | (Target & { kind: "local"; store: string })
  | { kind: "inline" };

const FORM = ["mode", "compression", "compression-level", "force-compression"];
const SHAPE = [...FORM, "oci-mediatypes", "image-manifest", "ignore-error"];
const EXPORTS: Record<string, string[]> = {
  inline: ["mode"],
  registry: ["ref", "registry.insecure", ...SHAPE],
  local: ["dest", "tag", ...SHAPE],
};
const IMPORTS: Record<string, string[]> = {
  registry: ["ref", "registry.insecure"],
  image: ["ref", "registry.insecure"],
  local: ["src", "digest", "tag"],
};
/** What takes a service that only clouds have. */
const SERVICES: Record<string, string> = {
  gha: "GitHub's cache service",
  s3: "S3",
  azblob: "Azure blob storage",
};

/** Each once: clients name a cache both for the front end and for the solver. */
export function cacheSources({ cacheFrom }: Pick<BuildJob, "cacheFrom">): CacheSource[] {
  const sources = cacheFrom.map(sourceOf);
  return [...new Map(sources.map((source) => [JSON.stringify(source), source])).values()];
}

function sourceOf(place: CachePlace): CacheSource {
  const { type, attrs } = checked(place, IMPORTS, "--cache-from");
  if (type === "local") {
    const store = needed(attrs, "src", "--cache-from type=local");
    const digest = attrs["digest"] ?? "";
    if (!isDigest(digest)) {
      throw invalid(`local cache importer requires a digest: ${store} has no index with the tag`);
    }
    return { kind: "local", store, digest, name: store };
  }
  const name = needed(attrs, "ref", `--cache-from type=${type}`);
  const kind = type === "image" ? "image" : "registry";
  return {
    kind,
    reference: parseReference(name),
    insecure: flag(attrs, "registry.insecure"),
    name,
  };
}

export function cacheTargets({ cacheTo }: Pick<BuildJob, "cacheTo">): CacheTarget[] {
  return cacheTo.map((place): CacheTarget => {
    const { type, attrs } = checked(place, EXPORTS, "--cache-to");
    const what = `--cache-to type=${type}`;
    const mode = modeOf(attrs["mode"], what);
    if (type === "inline") {
      if (mode === "max") throw invalid(`${what} has no mode=max: use type=registry`);
      return { kind: "inline" };
    }
    const target = targetOf(attrs, mode, what);
    if (type === "local") {
      const store = needed(attrs, "dest", what);
      return { ...target, kind: "local", store, name: store };
    }
    const name = needed(attrs, "ref", what);
    const reference = parseReference(name);
    if (reference.digest !== undefined) throw invalid(`${what}: ref has a digest: name a tag`);
    const insecure = flag(attrs, "registry.insecure");
    return { ...target, kind: "registry", reference, insecure, name };
  });
}

function checked(place: CachePlace, known: Record<string, string[]>, option: string): CachePlace {
  const { type, attrs } = place;
  const service = SERVICES[type];
  if (service !== undefined) {
    const message = `${option} type=${type}: ${service} is not supported: use registry or local`;
    throw new GantryError("not-implemented", message);
  }
  const names = known[type];
  if (names === undefined) {
    const types = Object.keys(known).filter((name) => name !== "image");
    throw invalid(`${option}: unknown cache type ${JSON.stringify(type)}: ${types.join(", ")}`);
  }
  const odd = Object.keys(attrs).find((name) => !names.includes(name));
  if (odd !== undefined) {
    throw invalid(`${option} type=${type} has no ${odd}: it has ${names.join(", ")}`);
  }
  return place;
}

function targetOf(attrs: CachePlace["attrs"], mode: "min" | "max", what: string) {
  const ociTypes = flag(attrs, "oci-mediatypes", true);
  const imageManifest = flag(attrs, "image-manifest", ociTypes);
  if (imageManifest && !ociTypes) {
    throw invalid(`${what}: image-manifest=true needs oci-mediatypes=true`);
  }
  const form = formOf(attrs, what);
  if (form.compression === "zstd" && !ociTypes) {
    throw invalid(`${what}: compression=zstd needs oci-mediatypes=true`);
  }
  return { mode, form, ociTypes, imageManifest, ignoreError: flag(attrs, "ignore-error") };
}

function formOf(attrs: CachePlace["attrs"], what: string): LayerForm {
  const compression = attrs["compression"] || "gzip";
  const force = flag(attrs, "force-compression");
  if (compression !== "gzip" && compression !== "zstd" && compression !== "uncompressed") {
    throw invalid(`${what}: unsupported compression ${compression}: gzip, zstd, uncompressed`);
  }
  const text = attrs["compression-level"];
  if (text === undefined || text === "") return { compression, force };
  const level = Number(text);
  const max = compression === "gzip" ? 9 : 22;
  if (!/^-?\d+$/.test(text) || level < 0 || level > max) {
    throw invalid(`${what}: compression-level ${text} is not between 0 and ${max}`);
  }
  return { compression, level, force };
}

function modeOf(mode: string | undefined, what: string): "min" | "max" {
  if (mode === undefined || mode === "" || mode === "min") return "min";
  if (mode === "max") return "max";
  throw invalid(`${what}: invalid mode ${JSON.stringify(mode)}: min or max`);
}

function flag(attrs: CachePlace["attrs"], name: string, byDefault = false): boolean {
  const text = attrs[name];
  if (text === undefined || text === "") return byDefault;
  try {
    return parseBool(text);
  } catch (cause) {
    const message = `${name}=${text}: true or false is expected`;
    throw new GantryError("invalid", message, { cause });
  }
}

function needed(attrs: CachePlace["attrs"], name: string, what: string): string {
  const value = attrs[name];
  if (value === undefined || value === "") throw invalid(`${what} needs ${name}=…`);
  return value;
}

const invalid = (message: string) => new GantryError("invalid", message);
