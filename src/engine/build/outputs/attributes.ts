// What the attributes of `--output` mean: each output of a job becomes one typed exporter. An
// attribute that an exporter does not know is refused, with those that it does; BuildKit drops it.

import { GantryError, parseBool } from "../../../base/index.ts";
import { formatReference, parseReference, type Reference } from "../../../spec/index.ts";
import type { BuildJob, OutputRequest } from "../job.ts";
import { type Annotation, isAnnotation, parseAnnotation } from "./annotations.ts";

/** In which form layers leave. */
export interface LayerForm {
  compression: "uncompressed" | "gzip" | "zstd";
  level?: number;
  /** Also layers that are known in another form, those of the base images too. */
  force: boolean;
}
/** What an image's manifest says, and of what. */
export interface ImageForm {
  layers: LayerForm;
  /** Undefined: as the exporter does by itself. */
  ociTypes?: boolean;
  annotations: readonly Annotation[];
  rewriteTimestamp: boolean;
  /** SOURCE_DATE_EPOCH. */
  epochSeconds?: number;
  /** The manifest was asked for: some of the above stands in the attributes. */
  isShaped: boolean;
}
export interface ImageOutput {
  kind: "image";
  exporter: string;
  names: readonly Reference[];
  push: boolean;
  byDigest: boolean;
  insecure: boolean;
  store: boolean;
  nameCanonical: boolean;
  danglingPrefix?: string;
  form: ImageForm;
}
export interface ArchiveOutput {
  kind: "archive";
  variant: "oci" | "docker";
  exporter: string;
  /** False: blobs go into the client's folder. */
  tar: boolean;
  names: readonly Reference[];
  form: ImageForm;
}
export interface FilesOutput {
  kind: "files";
  tar: boolean;
  exporter: string;
  /** Undefined: with several platforms. */
  platformSplit?: boolean;
  attestationPrefix: string;
  epochSeconds?: number;
}
export type Output = ImageOutput | ArchiveOutput | FilesOutput | { kind: "nothing" };

const IMAGE_FORM = [
  "name",
  "compression",
  "compression-level",
  "force-compression",
  "oci-mediatypes",
  "rewrite-timestamp",
  "source-date-epoch",
  "attestation-inline",
  "prefer-nondist-layers",
  "buildinfo",
  "buildinfo-attrs",
  "annotation.KEY",
  "annotation-TYPE[PLATFORM].KEY",
];
const IMAGE = [
  ...IMAGE_FORM,
  "push",
  "push-by-digest",
  "registry.insecure",
  "store",
  "unpack",
  "name-canonical",
  "dangling-name-prefix",
  "danglingNamePrefix",
];
const ARCHIVE = [...IMAGE_FORM, "tar", "dest", "context"];
const FILES = ["dest", "platform-split", "attestation-prefix", "source-date-epoch"];
const EXPORTERS: Record<string, readonly string[]> = {
  image: IMAGE,
  moby: IMAGE,
  registry: IMAGE,
  docker: ARCHIVE,
  oci: ARCHIVE,
  local: FILES,
  tar: FILES,
  cacheonly: [],
};
const LEVELS = { uncompressed: [0, 0], gzip: [0, 9], zstd: [0, 22] } as const;

/** Every output, typed. Throws invalid with what is allowed. */
export function parseOutputs(job: BuildJob): Output[] {
  return job.outputs.map((output) => parseOutput(output, job));
}

function parseOutput(request: OutputRequest, job: BuildJob): Output {
  const { type, exporter } = request;
  const allowed = Object.hasOwn(EXPORTERS, type) ? EXPORTERS[type] : undefined;
  if (allowed === undefined) {
    const known = Object.keys(EXPORTERS).join(", ");
    throw new GantryError("invalid", `exporter "${type}" could not be found: one of ${known}`);
  }
  const attrs = new Attributes(request, allowed);
  if (type === "cacheonly") return { kind: "nothing" };
  const epochSeconds = epochOf(attrs, job);
  const epoch = epochSeconds === undefined ? {} : { epochSeconds };
  if (type === "local" || type === "tar") {
    const split = attrs.flag("platform-split");
    const attestationPrefix = attrs.get("attestation-prefix") ?? "";
    if (/[/\0]/.test(attestationPrefix)) {
      const message = `attestation-prefix ${attestationPrefix} is no beginning of a file's name`;
      throw new GantryError("invalid", message);
    }
    return {
      ...{ kind: "files", tar: type === "tar", exporter, ...epoch },
      ...(split !== undefined && { platformSplit: split }),
      attestationPrefix,
    };
  }
  const names = namesOf(attrs.get("name"));
  const form = { ...formOf(attrs), ...epoch };
  // `docker` without a client that takes a file means the image store.
  const toStore = type === "docker" && job.session === undefined && !attrs.has("dest");
  if ((type === "docker" && !toStore) || type === "oci") {
    const variant = type;
    return { kind: "archive", variant, exporter, tar: attrs.flag("tar") ?? true, names, form };
  }
  return imageOutput({ attrs, type, exporter, names, form });
}

function imageOutput({
  attrs,
  type,
  exporter,
  names,
  form,
}: {
  attrs: Attributes;
  type: string;
  exporter: string;
  names: readonly Reference[];
  form: ImageForm;
}): ImageOutput {
  const push = attrs.flag("push") ?? type === "registry";
  const byDigest = attrs.flag("push-by-digest") ?? false;
  const prefix = attrs.get("dangling-name-prefix") ?? attrs.get("danglingNamePrefix");
  attrs.flag("unpack"); // they always are
  if (push && names.length === 0) {
    throw new GantryError("invalid", "tag is needed when pushing to registry");
  }
  if (byDigest && !push) {
    throw new GantryError("invalid", `output "${type}": push-by-digest needs push=true`);
  }
  return {
    ...{ kind: "image", exporter, names, push, byDigest, form },
    insecure: attrs.flag("registry.insecure") ?? false,
    store: attrs.flag("store") ?? true,
    nameCanonical: attrs.flag("name-canonical") ?? false,
    ...(prefix && { danglingPrefix: prefix }),
  };
}

function formOf(attrs: Attributes): ImageForm {
  const { layers, isShaped } = layerForm(attrs);
  const ociTypes = attrs.flag("oci-mediatypes", true);
  attrs.flag("buildinfo", true);
  attrs.flag("buildinfo-attrs", false);
  attrs.flag("attestation-inline");
  if (attrs.flag("prefer-nondist-layers")) {
    const message = "prefer-nondist-layers is not supported: layers are distributable here";
    throw new GantryError("not-implemented", message);
  }
  const annotations = attrs.annotations();
  return {
    layers,
    annotations,
    ...(ociTypes !== undefined && { ociTypes }),
    rewriteTimestamp: attrs.flag("rewrite-timestamp") ?? false,
    isShaped: isShaped || ociTypes !== undefined || annotations.length > 0,
  };
}

function layerForm(attrs: Attributes): { layers: LayerForm; isShaped: boolean } {
  const written = attrs.get("compression");
  const level = attrs.get("compression-level");
  const compression = (written ?? "gzip") as LayerForm["compression"];
  if (written === "estargz" || written === "nydus") {
    const message = `compression ${written} is not supported: one of uncompressed, gzip, zstd`;
    throw new GantryError("not-implemented", message);
  }
  if (!Object.hasOwn(LEVELS, compression)) {
    const which = Object.keys(LEVELS).join(", ");
    const message = `unsupported layer compression type ${written}: one of ${which}`;
    throw new GantryError("invalid", message);
  }
  const [low, high] = LEVELS[compression];
  if (level !== undefined && !(/^\d+$/.test(level) && +level >= low && +level <= high)) {
    const message = `compression-level ${level} is not one of ${compression}: ${low} to ${high}`;
    throw new GantryError("invalid", message);
  }
  const force = attrs.flag("force-compression") ?? false;
  return {
    layers: { compression, force, ...(level !== undefined && { level: Number(level) }) },
    isShaped: written !== undefined || level !== undefined || force,
  };
}

/** "a:1,b" */
function namesOf(text: string | undefined): Reference[] {
  const names = (text ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (names.includes("*")) {
    const message = "name=* is not supported: the image has no name of its own";
    throw new GantryError("not-implemented", message);
  }
  const found = names.map((name) => parseReference(name));
  for (const { digest } of found) {
    if (digest === undefined) continue;
    throw new GantryError("invalid", "refusing to create a tag with a digest reference");
  }
  const unique = new Map(found.map((reference) => [formatReference(reference), reference]));
  return [...unique.values()];
}

function epochOf(attrs: Attributes, job: BuildJob): number | undefined {
  const text = attrs.get("source-date-epoch") ?? job.buildArgs["SOURCE_DATE_EPOCH"] ?? "";
  if (text === "") return undefined;
  if (!/^\d{1,12}$/.test(text)) {
    const message = `invalid SOURCE_DATE_EPOCH: ${text} is no number of seconds since 1970`;
    throw new GantryError("invalid", message);
  }
  return Number(text);
}

/** Of one output: what is not in the list is refused at once. */
class Attributes {
  readonly #attrs: Readonly<Record<string, string>>;
  readonly #type: string;

  constructor({ attrs, type }: OutputRequest, allowed: readonly string[]) {
    this.#attrs = attrs;
    this.#type = type === "moby" ? "image" : type;
    const annotated = allowed.some(isAnnotation);
    for (const name of Object.keys(attrs)) {
      if (allowed.includes(name) || (annotated && isAnnotation(name))) continue;
      const which = allowed.length === 0 ? "it has none" : `one of ${allowed.join(", ")}`;
      const message = `output "${this.#type}" has no attribute "${name}": ${which}`;
      throw new GantryError("invalid", message);
    }
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#attrs, name);
  }

  get(name: string): string | undefined {
    return this.has(name) ? this.#attrs[name] : undefined;
  }

  /** `bare`: what the name without a value means. */
  flag(name: string, bare = true): boolean | undefined {
    const text = this.get(name);
    if (text === undefined) return undefined;
    if (text === "") return bare;
    try {
      return parseBool(text);
    } catch (cause) {
      const message = `output "${this.#type}": non-bool value specified for ${name}: ${text}`;
      throw new GantryError("invalid", message, { cause });
    }
  }

  annotations(): Annotation[] {
    const all = Object.entries(this.#attrs).filter(([name]) => isAnnotation(name));
    return all.map(([name, value]) => parseAnnotation(name, value));
  }
}
