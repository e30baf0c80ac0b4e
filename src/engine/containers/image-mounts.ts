// Images as mounts (`--mount type=image`): the layers of an image with a writable layer of the
// container's own on top, made with the container and gone with it. The layers stay as long, even
// where the image is removed.

import { GantryError, messageOf } from "../../base/index.ts";
import type { RootfsMount } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { findImage } from "../images/find.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";

export type ImageLayers = Extract<RootfsMount, { kind: "overlay" }>;

const nameOf = (c: ContainerRecord, index: number): string => `${c.id}.image-${index}`;

/** The snapshots of a container's image mounts. */
export const imageLayers = (c: ContainerRecord): string[] =>
  c.mounts.flatMap((mount, index) => (mount.Type === "image" ? [nameOf(c, index)] : []));

/** Throws invalid where there is no such image: "not found" would make clients pull another one. */
export function checkImage(engine: EngineContext, mount: MountRecord): void {
  try {
    findImage(engine, mount.Source);
  } catch (cause) {
    throw new GantryError("invalid", messageOf(cause), { cause });
  }
}

/** The names are on record before: see makeVolumes. */
export async function makeImageLayers(engine: EngineContext, c: ContainerRecord): Promise<void> {
  for (const [index, mount] of c.mounts.entries()) {
    if (mount.Type !== "image") continue;
    const image = findImage(engine, mount.Source);
    const diffIds = image.layers.map(({ diffId }) => diffId);
    const lease = engine.storage.lease(diffIds);
    try {
      await engine.storage.snapshots.prepare(nameOf(c, index), diffIds);
    } finally {
      await lease.release();
    }
  }
}

export async function removeImageLayers(engine: EngineContext, c: ContainerRecord): Promise<void> {
  for (const name of imageLayers(c)) await engine.storage.snapshots.remove(name);
}

/** What would be mounted if the container were made; nothing is. */
export function imagePreview(engine: EngineContext, mount: MountRecord): ImageLayers {
  const image = findImage(engine, mount.Source);
  const diffIds = image.layers.map(({ diffId }) => diffId);
  const rootfs = engine.storage.snapshots.preview("CONTAINER-ID.image", diffIds) as ImageLayers;
  return { ...rootfs, lowerDirs: rootfs.lowerDirs.slice(1) };
}

/** What to mount for the mount at `index`, without the stubs that a container's root has. */
export async function imageRoot(
  engine: EngineContext,
  c: ContainerRecord,
  index: number,
): Promise<ImageLayers> {
  const rootfs = await engine.storage.snapshots.renew(nameOf(c, index));
  if (rootfs.kind !== "overlay") {
    throw new GantryError("not-implemented", "mounts of images need overlay file systems");
  }
  return { ...rootfs, lowerDirs: rootfs.lowerDirs.slice(1) };
}
