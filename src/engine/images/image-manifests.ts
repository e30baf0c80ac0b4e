// What stands behind an image's name, as `docker images --tree` shows it: each manifest that its
// index lists, whether it is here, and what it takes. Layers are kept unpacked only, so what
// counts as content are the documents: manifests, configs, statements.

import type { Platform } from "../../spec/index.ts";
import type { Descriptor, StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { ImageManifest } from "../contract.ts";

interface Listed extends Descriptor {
  platform?: Platform;
  annotations?: Record<string, string>;
}
const IS_INDEX = /(image\.index|manifest\.list)\.v\d/;
const FOR = "vnd.docker.reference.digest";

/** In the order of the index; the image's own manifest where it came without one. */
export async function imageManifests(
  engine: EngineContext,
  image: StoredImage,
): Promise<ImageManifest[]> {
  const index = indexOf(image);
  if (index === undefined) {
    return image.manifest ? [imageManifest(engine, image.manifest, image)] : [];
  }
  const { content, images } = engine.storage;
  const raw = Buffer.from(await content.read(index.digest)).toString("utf8");
  const { manifests } = JSON.parse(raw) as { manifests: Listed[] };
  const all = images.list();
  return await Promise.all(
    manifests.map(async (entry) => {
      const found = all.find(({ documents }) => documents.some((d) => d.digest === entry.digest));
      const isAttestation = entry.platform?.os === "unknown" || entry.annotations?.[FOR];
      return isAttestation ? await attestation(engine, entry) : imageManifest(engine, entry, found);
    }),
  );
}

/** Of a name's own index rather than of another that led to the image once. */
function indexOf({ indexes, origins, documents }: StoredImage): Descriptor | undefined {
  const given = [...indexes, ...origins];
  const [, named] = given.find(([name]) => !name.includes("@")) ?? given[0] ?? [];
  const all = documents.filter(({ mediaType }) => IS_INDEX.test(mediaType));
  return all.find(({ digest }) => digest === named) ?? all[0];
}

function imageManifest(
  engine: EngineContext,
  descriptor: Listed,
  image: StoredImage | undefined,
): ImageManifest {
  const { os = "linux", architecture = "", variant } = image?.config ?? {};
  const platform = descriptor.platform ?? { os, architecture, ...(variant && { variant }) };
  const containers = engine.containers.all().filter(({ imageId }) => imageId === image?.id);
  return {
    ...{ kind: "image", descriptor, platform, isHere: image !== undefined },
    contentBytes: image ? descriptor.size + image.rawConfig.length : 0,
    unpackedBytes: (image?.layers ?? []).reduce((sum, { size }) => sum + size, 0),
    containers: image ? containers.map(({ id }) => id) : [],
  };
}

async function attestation(engine: EngineContext, descriptor: Listed): Promise<ImageManifest> {
  const { content, images } = engine.storage;
  const about = descriptor.annotations?.[FOR] ?? "";
  const shown = { kind: "attestation", descriptor, about, unpackedBytes: 0 } as const;
  const missing = { ...shown, isHere: false, contentBytes: 0, containers: [] };
  if (images.document(descriptor.digest) === undefined) return missing;
  try {
    const raw = Buffer.from(await content.read(descriptor.digest));
    const { config, layers } = JSON.parse(raw.toString("utf8")) as {
      config: Descriptor;
      layers: Descriptor[];
    };
    const bytes = [config, ...layers].reduce((sum, { size }) => sum + size, raw.length);
    return { ...missing, isHere: true, contentBytes: bytes };
  } catch {
    return missing; // not whole: as if it were not here
  }
}
