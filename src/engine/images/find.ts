// Finding the image that a reference means, with docker's words when there is none, and whether it
// can run on this machine.

import { type Advice, GantryError, withAdvice } from "../../base/index.ts";
import {
  familiarReference,
  formatReference,
  parseReference,
  readPlatform,
} from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { goodGuess } from "../explain/good-guess.ts";
import { siblingsOf } from "./companions.ts";

/** What a processor runs beside its own; not every arm64 runs 32-bit programs. */
export const alsoRuns: Readonly<Record<string, readonly string[]>> = {
  amd64: ["386"],
  arm64: ["arm"],
};
const ARCHITECTURES: Record<string, string> = { x64: "amd64", arm64: "arm64", arm: "arm" };

/** By id, id prefix (with or without "sha256:") or reference; throws not-found. */
export function findImage(engine: EngineContext, ref: string): StoredImage {
  if (ref === "") throw new GantryError("invalid", "invalid reference format");
  const found = engine.storage.images.resolve(ref) ?? byReference(engine, ref);
  if (found) return found;
  const missing = new GantryError("not-found", `No such image: ${display(ref)}`);
  throw withAdvice(missing, similarImages(engine, ref));
}

/** The same; where a name stands for an index, its image for the platform that is asked for. */
export function findImageFor(
  engine: EngineContext,
  ref: string,
  platform: string | undefined,
): StoredImage {
  return platformImage(engine, findImage(engine, ref), platform, ref);
}

/** `image` itself, or the one for the platform that stands beside it under the name. */
export function platformImage(
  engine: EngineContext,
  image: StoredImage,
  platform: string | undefined,
  name: string | undefined,
): StoredImage {
  if (!platform || isFor(image, platform)) return image;
  const others = siblingsOf(engine.storage.images.list(), image, name);
  return others.find((other) => isFor(other, platform)) ?? image;
}

/** Whether an image is of a platform: "linux/arm64"; what it leaves open fits. */
export function isFor(
  { config: { os, architecture, variant } }: Pick<StoredImage, "config">,
  platform: string,
): boolean {
  const [wantedOs, wantedArchitecture, wantedVariant] = platform.split("/");
  return (
    wantedOs === (os || "linux") &&
    (wantedArchitecture === undefined || normal(wantedArchitecture) === architecture) &&
    (wantedVariant === undefined || !variant || wantedVariant === variant)
  );
}

function byReference(engine: EngineContext, ref: string): StoredImage | undefined {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(ref)) return undefined;
  return engine.storage.images.resolve(formatReference(parseReference(ref)));
}

const SIMILAR_SHOWN_MAX = 5;

/** Other tags of the same repository, or a name that is written nearly so. */
function similarImages(engine: EngineContext, ref: string): Advice | undefined {
  const wanted = display(ref);
  const repository = (name: string) => name.replace(/[:@][^/]*$/, "");
  const names = engine.storage.images
    .list()
    .flatMap(({ references }) => references)
    .map((name) => familiarReference(parseReference(name)));
  const tags = names.filter((name) => repository(name) === repository(wanted));
  const near = goodGuess(repository(wanted), names.map(repository));
  const similar = tags.length > 0 ? tags : names.filter((name) => repository(name) === near);
  if (similar.length === 0) return undefined;
  const shown = similar.slice(0, SIMILAR_SHOWN_MAX).join(", ");
  return {
    cause: `that name is not here; what is here: ${shown}`,
    remedy: [`name one of those, or gantry pull ${wanted}`],
  };
}

function display(ref: string): string {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(ref)) return ref;
  return familiarReference(parseReference(ref));
}

/** This machine as images name it. */
export function hostPlatform(): { os: string; architecture: string } {
  return { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch };
}

/** Returns docker's warning where the image is of another architecture and none was asked for;
 * throws not-found where the platform that was asked for is not the image's. */
export function checkImagePlatform(
  image: Pick<StoredImage, "config">,
  wanted: string | undefined,
  ref: string,
): string[] {
  const { os, architecture, variant } = image.config;
  const actual = [os || "linux", architecture, ...(variant ? [variant] : [])].join("/");
  const host = hostPlatform();
  if (wanted) {
    readPlatform(wanted, host); // refuses what is none
    if (!isFor(image, wanted)) {
      throw new GantryError(
        "not-found",
        `image with reference ${ref} was found but its platform (${actual}) does not match the ` +
          `specified platform (${wanted})`,
      );
    }
    return [];
  }
  if (!architecture || architecture === host.architecture) return [];
  // As dockerd, which does not ask the processor.
  if (actual.startsWith("linux/") && alsoRuns[host.architecture]?.includes(architecture)) return [];
  return [
    `The requested image's platform (${actual}) does not match the detected host platform ` +
      `(${host.os}/${host.architecture}) and no specific platform was requested`,
  ];
}

const normal = (architecture: string): string =>
  ({ x86_64: "amd64", aarch64: "arm64" })[architecture] ?? architecture;
