// An image that is not here, as its registry has it: what would be pulled, and of what layers its
// root would be made. Nothing is fetched but the manifest and the config.

import { GantryError, kindOf, messageOf, withAdvice } from "../../base/index.ts";
import { type ImageSeen, lookAtImage } from "../../distribution/index.ts";
import { type ImageConfigDocument, type Platform, parseReference } from "../../spec/index.ts";
import type { DraftImage } from "../containers/create.ts";
import type { EngineContext } from "../context.ts";
import type { CreateRequest, ImageFacts } from "../contract.ts";
import { findImageFor, hostPlatform } from "../images/find.ts";

export interface RemoteDraft {
  image: DraftImage;
  seen: ImageSeen;
}

/** Undefined where the image is here. Throws "No such image" with what its registry said. */
export async function remoteImage(
  engine: EngineContext,
  { config, platform }: CreateRequest,
  signal: AbortSignal | undefined,
): Promise<RemoteDraft | undefined> {
  const name = config.Image ?? "";
  try {
    findImageFor(engine, name, platform);
    return undefined;
  } catch (missing) {
    if (kindOf(missing) !== "not-found" || !(missing instanceof GantryError)) throw missing;
    if (/^(sha256:)?[0-9a-f]{64}$/.test(name) || name === "hello-world") return undefined;
    const reference = parseReference(name);
    const wanted = platformOf(platform);
    const o = signal ? { signal } : {};
    const seen = await lookAtImage(engine.registries, reference, wanted, o).catch((error) => {
      throw withAdvice(missing, { cause: `and its registry says: ${messageOf(error)}` });
    });
    const document = JSON.parse(seen.rawConfig.toString()) as ImageConfigDocument;
    const layers = (document.rootfs?.diff_ids ?? []).map((diffId) => ({ diffId }));
    return { image: { id: seen.config.digest, config: document, layers }, seen };
  }
}

function platformOf(text: string | undefined): Platform {
  if (!text) return hostPlatform();
  const [os = "linux", architecture = "", variant] = text.split("/");
  return { os, architecture, ...(variant && { variant }) };
}

/** Which of its layers are here already, and what the others weigh. */
export function remoteFacts(
  engine: EngineContext,
  facts: ImageFacts,
  { image, seen }: RemoteDraft,
): ImageFacts {
  const { os, architecture } = image.config;
  return {
    ...facts,
    platform: `${os || "linux"}/${architecture ?? ""}`,
    layers: facts.layers.map((layer, index) => {
      const blob = seen.layers[index];
      const here = engine.storage.layers.get(layer.diffId) !== undefined;
      return {
        ...layer,
        ...(blob && { digest: blob.digest }),
        ...(blob && !here && { pullBytes: blob.size }),
      };
    }),
  };
}
