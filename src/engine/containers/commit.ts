// Commit: a container's writable layer becomes a layer, its config with the asked changes an image.

import { GantryError } from "../../base/index.ts";
import { applyChanges, formatReference } from "../../spec/index.ts";
import { encodeImageConfig, type StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { CommitOptions, Signal } from "../contract.ts";
import { hostPlatform } from "../images/find.ts";
import { announceImage, parseTarget } from "../images/tag.ts";
import { announce } from "./announce.ts";
import { setFrozen } from "./pause.ts";
import { isPaused, isRemoving, isRunning } from "./record.ts";

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
  const pause = o.pause && isRunning(c) && !isPaused(c);
  if (pause) await setFrozen(engine, c, true);
  const capture = engine.storage.layers.capture(rootfs.upperDir, o);
  const layer = await capture.finally(() => (pause ? setFrozen(engine, c, false) : undefined));

  const created = new Date();
  const about = {
    ...(o.author && { author: o.author }),
    ...(o.comment && { comment: o.comment }),
  };
  const step = { created: created.toISOString(), created_by: [c.path, ...c.args].join(" ") };
  const rawConfig = encodeImageConfig({
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
  const id = await engine.storage.images.put(rawConfig, base ? { parent: base.id } : {});
  if (target) {
    await engine.storage.images.tag(id, formatReference(target));
    announceImage(engine, "tag", id, `${o.repo}:${target.tag}`);
  }
  announce(engine, c, "commit", { comment: o.comment ?? "", imageID: id, imageRef: o.repo });
  return { id };
}

function historyOf(base: StoredImage | undefined) {
  return base?.config.history ?? base?.layers.map(() => ({ created_by: "" })) ?? [];
}
