// Commit: a container's writable layer becomes a layer, its config with the asked changes an image.

import { GantryError } from "../../base/index.ts";
import { applyChanges } from "../../build/index.ts";
import {
  type ContainerConfig,
  type DiskImage,
  familiarReference,
  formatReference,
} from "../../spec/index.ts";
import {
  encodeImageConfig,
  type Layer,
  type Lease,
  type StoredImage,
} from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { CommitOptions, Signal } from "../contract.ts";
import { hostPlatform } from "../images/find.ts";
import { announceImage, parseTarget } from "../images/tag.ts";
import { announce } from "./announce.ts";
import { setFrozen } from "./pause.ts";
import { type ContainerRecord, isPaused, isRemoving, isRunning } from "./record.ts";

/** Commit point: the image is stored. */
export async function commitContainer(
  engine: EngineContext,
  ref: string,
  o: Signal & CommitOptions,
): Promise<{ id: string }> {
  const c = engine.containers.find(ref);
  if (isRemoving(c) || c.dead) {
    throw new GantryError("conflict", `You cannot commit container ${c.id} which is being removed`);
  }
  const target = o.repo ? parseTarget(o.repo, o.tag ?? "") : undefined;
  const base = engine.storage.images.get(c.imageId);
  const config = applyChanges({ ...c.config, ...o.config }, o.changes);
  delete config.Image;
  const rootfs = engine.storage.snapshots.get(c.id);
  if (rootfs?.kind !== "overlay") {
    throw new GantryError("conflict", `Container ${c.id} has no writable layer to commit`);
  }
  const lease = engine.storage.lease(c.diffIds);
  try {
    const layer = await captureLayer(engine, c, rootfs, { ...o, lease });
    const image = imageOf(c, base, layer, config, o);
    const id = await engine.storage.images.put(image, base ? { parent: base.id } : {});
    announceImage(engine, "create", id, id);
    if (target) {
      await engine.storage.images.tag(id, formatReference(target));
      announceImage(engine, "tag", id, familiarReference(target));
    }
    const imageRef = target && familiarReference(target);
    announce(engine, c, "commit", { comment: o.comment ?? "", imageID: id, imageRef });
    return { id };
  } finally {
    lease.release();
  }
}

/** The writable layer at one moment: a running container is frozen meanwhile. */
async function captureLayer(
  engine: EngineContext,
  c: ContainerRecord,
  upper: { upperDir: string; disk?: DiskImage },
  { signal, pause, lease }: Signal & { pause: boolean; lease: Lease },
): Promise<Layer> {
  const freeze = pause && isRunning(c) && !isPaused(c);
  if (freeze) {
    await setFrozen(engine, c, true);
    announce(engine, c, "pause");
  }
  const thaw = async (): Promise<void> => {
    if (!freeze) return;
    await setFrozen(engine, c, false);
    announce(engine, c, "unpause");
  };
  const capture = engine.storage.layers.capture(upper, { lease, ...(signal && { signal }) });
  return await capture.finally(thaw);
}

/** The raw config of the new image. */
function imageOf(
  c: ContainerRecord,
  base: StoredImage | undefined,
  layer: Layer,
  config: ContainerConfig,
  o: CommitOptions,
): Uint8Array {
  const created = new Date();
  const about = {
    ...(o.author && { author: o.author }),
    ...(o.comment && { comment: o.comment }),
  };
  const step = { created: created.toISOString(), created_by: [c.path, ...c.args].join(" ") };
  return encodeImageConfig({
    architecture: base?.config.architecture ?? hostPlatform().architecture,
    os: base?.config.os ?? "linux",
    ...(base?.config.variant && { variant: base.config.variant }),
    ...about,
    created,
    config,
    diffIds: [...c.diffIds, layer.diffId],
    history: [...historyOf(base), { ...step, ...about }],
    container: c.id,
    containerConfig: c.config,
  });
}

function historyOf(base: StoredImage | undefined) {
  return base?.config.history ?? base?.layers.map(() => ({ created_by: "" })) ?? [];
}
