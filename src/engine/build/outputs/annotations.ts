// Annotations of manifests, indexes and their descriptors, as `--annotation` and the attributes
// "annotation[-TYPE][PLATFORM].KEY" name them (BuildKit's docs/annotations.md).

import { GantryError } from "../../../base/index.ts";
import { type Platform, readPlatform, writePlatform } from "../../../spec/index.ts";
import { hostPlatform } from "../../images/find.ts";

const PLACES = ["manifest", "manifest-descriptor", "index", "index-descriptor"] as const;
export type AnnotationPlace = (typeof PLACES)[number];
export interface Annotation {
  place: AnnotationPlace;
  /** "linux/arm64": only of this one. */
  platform?: string;
  key: string;
  value: string;
}

const KEY = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/;

/** Whether an attribute speaks of annotations. */
export const isAnnotation = (name: string): boolean => /^annotation[-.[]/.test(name);

/** Throws invalid for what is none. */
export function parseAnnotation(name: string, value: string): Annotation {
  const [, written = "manifest", platform, key] = KEY.exec(name) ?? [];
  if (key === undefined) {
    const want = "want annotation[-TYPE][PLATFORM].KEY";
    throw new GantryError("invalid", `could not fully parse annotation ${name}: ${want}`);
  }
  const place = PLACES.find((one) => one === written);
  if (place === undefined) {
    const message = `unrecognized annotation type ${written}: one of ${PLACES.join(", ")}`;
    throw new GantryError("invalid", message);
  }
  if (platform === undefined) return { place, key, value };
  if (place.startsWith("index")) {
    throw new GantryError("invalid", `annotation ${name}: an index is of no single platform`);
  }
  return { place, platform: writePlatform(readPlatform(platform, hostPlatform())), key, value };
}

/** Those of one place; what is said for the very platform wins. Undefined where there are none. */
export function annotationsFor(
  all: readonly Annotation[],
  place: AnnotationPlace,
  platform?: Platform,
): Record<string, string> | undefined {
  const here = all.filter((one) => one.place === place);
  const own = platform && writePlatform(platform);
  const found = [
    ...here.filter((one) => one.platform === undefined),
    ...here.filter((one) => one.platform !== undefined && one.platform === own),
  ];
  if (found.length === 0) return undefined;
  const sorted = new Map(found.map(({ key, value }) => [key, value]));
  return Object.fromEntries([...sorted].sort(([a], [b]) => (a < b ? -1 : 1)));
}
