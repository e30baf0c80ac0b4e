// Volumes as wholes: into a tar and out of one, and as a copy. What moves is everything: owners,
// modes, times, attributes, hard links, and those of the volume's own folder.

import { readdir } from "node:fs/promises";
import type { Readable } from "node:stream";
import { GantryError, Rollback } from "../../base/index.ts";
import type { RootSource } from "../../storage/index.ts";
import { announceVolume } from "../containers/announce.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { ANONYMOUS_LABEL, type VolumeRecord } from "./registry.ts";

let calls = 0;

const rootOf = (engine: EngineContext, name: string): RootSource => ({
  kind: "mount",
  rootfs: { kind: "bind", path: engine.volumes.pathOf(name) },
});

/** Keeps a volume from being removed, and has it mounted, until release(). */
async function hold(engine: EngineContext, volume: VolumeRecord, why: string) {
  const user = `${why} ${++calls}`;
  engine.volumes.refer(volume.name, user);
  const release = async () => {
    await engine.volumes.mounts.release(volume.name, user);
    engine.volumes.unrefer(volume.name, user);
  };
  try {
    await engine.volumes.mounts.acquire(volume, user);
  } catch (error) {
    await release();
    throw error;
  }
  return release;
}

/** The volume as a tar. What containers write meanwhile is in it or is not. */
export async function exportVolume(
  engine: EngineContext,
  name: string,
  { signal }: Signal = {},
): Promise<Readable> {
  const release = await hold(engine, engine.volumes.find(name), "export");
  const options = { name: ".", ...(signal && { signal }) };
  const tar = engine.files.tar(rootOf(engine, name), "/", options);
  tar.once("close", () => void release());
  return tar;
}

/** Unpacks a tar (plain, gzip or zstd) into a volume that is new or empty. Commit point: the first
 * entry is written; a volume that was made for it goes again when it fails. */
export async function importVolume(
  engine: EngineContext,
  name: string,
  tar: Readable,
  { signal }: Signal = {},
): Promise<VolumeRecord> {
  return await fill(engine, { name }, (volume) =>
    engine.files.untar(rootOf(engine, volume.name), "/", tar, {
      withRoot: true,
      ...(signal && { signal }),
    }),
  );
}

/** A copy under a new name, with the labels of the first. A copy of a mount is a plain folder. */
export async function cloneVolume(
  engine: EngineContext,
  from: string,
  to: string,
  { signal }: Signal = {},
): Promise<VolumeRecord> {
  const source = engine.volumes.find(from);
  if (engine.volumes.get(to)) {
    throw new GantryError("conflict", `clone ${from}: volume ${to} already exists`);
  }
  const release = await hold(engine, source, "clone");
  try {
    const isOwn = source.driver === undefined && !source.options?.["device"];
    const options = isOwn ? source.options : null;
    const wanted = { name: to, labels: withoutAnonymous(source.labels), options };
    return await fill(engine, wanted, async ({ name }) => {
      const path = engine.volumes.pathOf(name);
      await engine.files.copyOut(rootOf(engine, from), "/", path, signal ? { signal } : {});
    });
  } finally {
    await release();
  }
}

async function fill(
  engine: EngineContext,
  wanted: {
    name: string;
    labels?: VolumeRecord["labels"];
    options?: VolumeRecord["options"];
  },
  work: (volume: VolumeRecord) => Promise<unknown>,
): Promise<VolumeRecord> {
  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what} of a volume`, { name: wanted.name, error }),
  );
  const { volume, created } = await engine.volumes.create(wanted);
  if (created) {
    announceVolume(engine, "create", volume.name);
    undo.defer("creation", async () => {
      await engine.volumes.remove(volume.name);
      announceVolume(engine, "destroy", volume.name);
    });
  }
  const release = await hold(engine, volume, "import");
  undo.defer("use", release);
  const present = await readdir(engine.volumes.pathOf(volume.name));
  if (present.some((name) => name !== "lost+found")) {
    throw new GantryError(
      "conflict",
      `import ${volume.name}: volume is not empty: import into a new one, or empty it first`,
    );
  }
  await work(volume);
  undo.commit();
  await release();
  return volume;
}

/** What was given a name is meant to stay. */
function withoutAnonymous(labels: VolumeRecord["labels"]): VolumeRecord["labels"] {
  if (!labels) return null;
  const { [ANONYMOUS_LABEL]: _, ...rest } = labels;
  return rest;
}
