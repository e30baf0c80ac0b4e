// Puts manifests of several sources together as one index, as buildx does: a source that is an
// index gives its entries, a source that is an image becomes an entry. Pure.

import { GantryError } from "../../../base/index.ts";
import {
  type AnyManifest,
  type FullDescriptor,
  type FullPlatform,
  isIndexType,
} from "../../../distribution/index.ts";
import { normalizePlatform, readPlatform } from "../../../spec/index.ts";

const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** What a lone architecture or system is completed with. */
const HOST = { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch };
const ATTESTED_DIGEST = "vnd.docker.reference.digest";

export interface CombineSource {
  manifest: AnyManifest;
  /** What is known of it beside its bytes: the platform of an image, a descriptor's own. */
  descriptor: FullDescriptor;
}
export interface Annotations {
  index: Record<string, string>;
  /** Of entries: all, or those of one platform ("linux/arm64"). */
  entries: readonly { platform?: string; key: string; value: string }[];
}
export interface Combined {
  raw: Buffer;
  mediaType: string;
}

/** `preferIndex`: also of one image an index is made. */
export function combine(
  sources: readonly CombineSource[],
  annotations: Annotations,
  { preferIndex, platforms = [] }: { preferIndex: boolean; platforms?: readonly string[] },
): Combined {
  const isPlain = Object.keys(annotations.index).length + annotations.entries.length === 0;
  const [only, ...more] = sources;
  if (only === undefined) throw new GantryError("invalid", "no sources specified");
  const isWhole = platforms.length === 0;
  if (
    more.length === 0 &&
    isWhole &&
    isPlain &&
    (isIndexType(only.manifest.mediaType) || !preferIndex)
  ) {
    return { raw: only.manifest.raw, mediaType: only.manifest.mediaType };
  }
  const found = new Map<string, FullDescriptor>();
  for (const { manifest, descriptor } of sources) {
    const all = isIndexType(manifest.mediaType) ? manifest.manifests : [descriptor];
    const given = isWhole ? all : ofPlatforms(all, platforms);
    for (const one of given) found.set(one.digest, merged(found.get(one.digest), one));
  }
  const entries = [...found.values()].map((entry) => annotated(entry, annotations));
  const isDocker =
    isPlain &&
    entries.every(({ mediaType, annotations: own }) => !own && mediaType === DOCKER_MANIFEST);
  const mediaType = isDocker ? DOCKER_LIST : OCI_INDEX;
  const document = {
    ...{ schemaVersion: 2, mediaType, manifests: entries.map(ordered) },
    ...(Object.keys(annotations.index).length > 0 && { annotations: sorted(annotations.index) }),
  };
  return { raw: Buffer.from(JSON.stringify(document, undefined, 2)), mediaType };
}

/** The entries for one of the platforms, with the attestations of them. */
function ofPlatforms(
  entries: readonly FullDescriptor[],
  wanted: readonly string[],
): FullDescriptor[] {
  const texts = new Set(wanted.map((text) => platformText(readPlatform(text, HOST))));
  const isWanted = ({ platform }: FullDescriptor) =>
    platform !== undefined && texts.has(platformText(platform));
  const digests = new Set(entries.filter(isWanted).map(({ digest }) => digest));
  if (digests.size === 0) {
    const list = [...texts].join(", ");
    throw new GantryError("not-found", `a source has nothing for the platform ${list}`);
  }
  return entries.filter(
    ({ digest, annotations }) =>
      digests.has(digest) || digests.has(annotations?.[ATTESTED_DIGEST] ?? ""),
  );
}

/** The same manifest from two sources: what the later one says of it counts. */
function merged(before: FullDescriptor | undefined, after: FullDescriptor): FullDescriptor {
  if (before === undefined) return after;
  const platform = after.platform ?? before.platform;
  const annotations = { ...before.annotations, ...after.annotations };
  return {
    ...after,
    ...(platform && { platform }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
}

function annotated(entry: FullDescriptor, { entries }: Annotations): FullDescriptor {
  const own = entry.platform && platformText(entry.platform);
  const fitting = [
    ...entries.filter(({ platform }) => platform === undefined),
    ...entries.filter(({ platform }) => platform !== undefined && platform === own),
  ];
  if (fitting.length === 0) return entry;
  const added = Object.fromEntries(fitting.map(({ key, value }) => [key, value]));
  return { ...entry, annotations: { ...entry.annotations, ...added } };
}

function ordered({ mediaType, digest, size, annotations, platform, ...rest }: FullDescriptor) {
  return {
    ...{ mediaType, digest, size, ...rest },
    ...(annotations && { annotations: sorted(annotations) }),
    ...(platform && { platform }),
  };
}

const sorted = (values: Record<string, string>) =>
  Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));

/** "linux/arm64": without a variant that goes without saying. */
export function platformText(platform: FullPlatform): string {
  const { os, architecture, variant } = normalizePlatform(platform);
  return [os, architecture, ...(variant ? [variant] : [])].join("/");
}

const ANNOTATION = /^(?:([a-z,-]+)(?:\[([A-Za-z0-9_/,-]+)\])?:)?([^=]+)=(.*)$/s;

/** "index:key=value", "manifest-descriptor[linux/arm64]:key=value". */
export function parseAnnotations(texts: readonly string[]): Annotations {
  const index: Record<string, string> = {};
  const entries: { platform?: string; key: string; value: string }[] = [];
  for (const text of texts) {
    const [, types = "manifest", platforms, key, value] = ANNOTATION.exec(text) ?? [];
    if (key === undefined || value === undefined) {
      throw new GantryError("invalid", `invalid annotation "${text}", expected key=value`);
    }
    for (const type of types.split(",")) {
      if (type === "index") index[key] = value;
      else if (type === "manifest-descriptor") {
        const wanted = platforms?.split(",") ?? [undefined];
        for (const platform of wanted) entries.push({ ...(platform && { platform }), key, value });
      } else {
        throw new GantryError(
          "invalid",
          `"${type}" annotations are not supported here: an image that is there stays as it is. ` +
            "Use index:KEY=VALUE or manifest-descriptor:KEY=VALUE",
        );
      }
    }
  }
  return { index, entries };
}
