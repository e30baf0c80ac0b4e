// The verbs of images as the doors see them.

import type { EngineContext } from "../context.ts";
import type { Images } from "../contract.ts";
import { imageAttestations } from "./attestations.ts";
import { bootstrapImage } from "./bootstrap.ts";
import { inspectDistribution, login } from "./distribution-inspect.ts";
import { checkImagePlatform, findImageFor } from "./find.ts";
import { ensureHelloWorld } from "./hello-world.ts";
import { imageHistory } from "./history.ts";
import { imageManifests } from "./image-manifests.ts";
import { importImage } from "./import.ts";
import { listImages } from "./list.ts";
import { loadImages } from "./load.ts";
import { pruneImages } from "./prune.ts";
import { pullImage } from "./pull.ts";
import { pushImages } from "./push.ts";
import { removeImage } from "./remove.ts";
import { renderImage } from "./render.ts";
import { saveImages } from "./save.ts";
import { search } from "./search.ts";
import { tagImage } from "./tag.ts";
import { verifyImages } from "./verify.ts";

export function imageVerbs(engine: EngineContext): Images {
  return {
    list: (o) => listImages(engine, o),
    inspect: async (ref, o) => {
      await ensureHelloWorld(engine.storage, ref);
      const image = findImageFor(engine, ref, o?.platform);
      checkImagePlatform(image, o?.platform, ref);
      const shown = renderImage(image);
      return o?.manifests ? { ...shown, manifests: await imageManifests(engine, image) } : shown;
    },
    attestations: (ref, o) => imageAttestations(engine, ref, o),
    history: (ref, o) => imageHistory(engine, ref, o),
    tag: (ref, repo, tag) => tagImage(engine, ref, repo, tag),
    remove: (ref, o) => removeImage(engine, ref, o),
    prune: (filters, o) => pruneImages(engine, filters, o),
    import: (o) => importImage(engine, o),
    load: (from, o) => loadImages(engine, from, o),
    bootstrap: (o) => bootstrapImage(engine, o),
    verify: (o) => verifyImages(engine, o),
    save: (refs, o) => saveImages(engine, refs, o),
    pull: (name, o) => pullImage(engine, name, o),
    push: (name, o) => pushImages(engine, name, o),
    search: (term, o) => search(engine, term, o),
    inspectRemote: (name, o) => inspectDistribution(engine, name, o),
    login: (address, credentials, o) => login(engine, address, credentials, o),
  };
}
