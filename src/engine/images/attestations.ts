// What is attested of an image: the in-toto statements in the manifests that its index lists beside
// it (BuildKit's form: a manifest that refers to the image's by annotation, a statement a layer).
// Only what lies here is told: a pull fetches the image, not the statements about it.

import { GantryError } from "../../base/index.ts";
import type { Descriptor } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { AttestationStatement, AttestationsRequest } from "../contract.ts";
import { checkImagePlatform, findImageFor } from "./find.ts";
import { imageManifests } from "./image-manifests.ts";

const IN_TOTO = "application/vnd.in-toto+json";
const PREDICATE_TYPE = "in-toto.io/predicate-type";
const STATEMENTS_BYTES_MAX = 64 * 2 ** 20;

type Layer = Descriptor & { annotations?: Record<string, string> };

/** In the order of the index; empty where nothing is attested. */
export async function imageAttestations(
  engine: EngineContext,
  ref: string,
  { platform, types, withStatements, signal }: AttestationsRequest,
): Promise<AttestationStatement[]> {
  const image = findImageFor(engine, ref, platform);
  checkImagePlatform(image, platform, ref);
  const own = new Set(image.documents.map(({ digest }) => digest));
  const listed = await imageManifests(engine, image);
  const about = listed.filter(
    (one) => one.kind === "attestation" && one.isHere && own.has(one.about ?? ""),
  );
  const found: AttestationStatement[] = [];
  let bytes = 0;
  for (const { descriptor } of about) {
    for (const layer of await layersOf(engine, descriptor.digest)) {
      const predicateType = layer.annotations?.[PREDICATE_TYPE];
      if (layer.mediaType !== IN_TOTO || predicateType === undefined) continue;
      if (types.length > 0 && !types.includes(predicateType)) continue;
      signal?.throwIfAborted();
      bytes += withStatements ? layer.size : 0;
      if (bytes > STATEMENTS_BYTES_MAX) throw tooLarge(ref);
      const statement = withStatements ? await documentOf(engine, layer.digest) : undefined;
      found.push({ descriptor: layer, predicateType, ...(withStatements && { statement }) });
    }
  }
  return found;
}

async function layersOf(engine: EngineContext, digest: string): Promise<Layer[]> {
  const { layers } = (await documentOf(engine, digest)) as { layers?: Layer[] };
  return Array.isArray(layers) ? layers : [];
}

async function documentOf(engine: EngineContext, digest: string): Promise<unknown> {
  const raw = Buffer.from(await engine.storage.content.read(digest)).toString("utf8");
  try {
    return JSON.parse(raw) as unknown;
  } catch (cause) {
    throw new GantryError("invalid", `${digest} is no JSON document`, { cause });
  }
}

function tooLarge(ref: string): GantryError {
  const limit = `${STATEMENTS_BYTES_MAX / 2 ** 20} MiB`;
  const message = `The statements about ${ref} are larger than ${limit}: ask for one type of them`;
  return new GantryError("invalid", message);
}
