// Create: resolve the image, merge the configs, reserve the name, make volumes and the writable
// layer, and remember it all. Commit point: the record without intent is in the database; before
// it everything is undone in reverse order, also by a later engine after a crash.

import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { Rollback } from "../../base/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import type { StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { CreateRequest, Signal } from "../contract.ts";
import { checkImagePlatform, findImageFor } from "../images/find.ts";
import { ensureHelloWorld } from "../images/hello-world.ts";
import { NEVER, timestamp } from "../timestamps.ts";
import { announce } from "./announce.ts";
import { checkConflicts } from "./config-conflicts.ts";
import { networkNameOf, wantedEndpoints } from "./endpoints.ts";
import { checkHostConfig, completeHostConfig, containerOf } from "./host-config.ts";
import { wantedLinks } from "./links.ts";
import { mergeConfig } from "./merge-config.ts";
import { makeVolumes, releaseVolumes, resolveMounts } from "./mounts.ts";
import { checkName, randomName } from "./names.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";
import { takeLabels } from "./selinux-labels.ts";
import { storageSize } from "./storage-size.ts";
import { takeUserns } from "./user-namespace.ts";
import { validateResources } from "./validate.ts";

const ID_BYTES = 32;

/** `volatile`: what it writes need not survive a crash of the machine; nothing is synced. */
export async function createContainer(
  engine: EngineContext,
  request: CreateRequest,
  { signal, volatile = false }: Signal & { volatile?: boolean } = {},
): Promise<{ id: string; warnings: string[] }> {
  const { record, mounts, warnings } = await draftContainer(engine, request);
  const { id, hostConfig } = record;
  signal?.throwIfAborted();

  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what} of a create`, { id, error }),
  );
  record.name ||= randomName((wanted) => engine.containers.isNameFree(wanted));
  engine.containers.reserveName(record.name, id);
  undo.defer("name", () => engine.containers.releaseName(record.name, id));

  takeUserns(engine, record);
  takeLabels(engine, record);
  engine.containers.put(record);
  undo.defer("record", () => engine.containers.delete(record));

  // The layers stay while the snapshot is made, even if the image is removed meanwhile.
  const lease = engine.storage.lease(record.diffIds);
  undo.defer("lease", () => lease.release());
  const { dir } = engine.paths.container(id);
  await mkdir(dir, { mode: 0o710 });
  undo.defer("folder", () => rm(dir, { recursive: true, force: true }));
  await engine.storage.snapshots.prepare(id, record.diffIds, {
    volatile: volatile || hostConfig.AutoRemove === true,
    ...sizeOf(engine, hostConfig),
  });
  undo.defer("snapshot", () => engine.storage.snapshots.remove(id));
  undo.defer("volumes", () => releaseVolumes(engine, record, { removeAnonymous: true }));
  await makeVolumes(engine, record, mounts);

  signal?.throwIfAborted();
  delete record.intent;
  engine.containers.put(record);
  undo.commit();
  lease.release();
  announce(engine, record, "create");
  return { id, warnings };
}

/** A container as it would be, and what would be mounted in it: nothing is made or taken yet; its
 * name is "" where none was asked for. Throws what a create says of a request that cannot be. */
export async function draftContainer(
  engine: EngineContext,
  request: CreateRequest,
  {
    id = randomBytes(ID_BYTES).toString("hex"),
    image: given,
  }: { id?: string; image?: DraftImage } = {},
): Promise<{
  record: ContainerRecord;
  mounts: MountRecord[];
  warnings: string[];
}> {
  checkConflicts(request.config, request.hostConfig);
  await ensureHelloWorld(engine.storage, request.config.Image ?? "");
  const image = given ?? findImageFor(engine, request.config.Image ?? "", request.platform);
  const warnings = checkImagePlatform(image, request.platform, request.config.Image ?? "");
  const config = mergeConfig(request.config, image.config.config ?? {});
  const hostConfig = completeHostConfig(engine, request.hostConfig);
  checkHostConfig(engine, hostConfig);
  warnings.push(...validateResources(engine, config, hostConfig));
  const mounts = await resolveMounts(engine, config, hostConfig);
  const name = request.name ? checkName(request.name) : "";
  const record = newRecord({ engine, id, name, image, config, hostConfig, request });
  return { record, mounts, warnings };
}

/** What a container is made of: an image that is here, or one that would be pulled. */
export type DraftImage = Pick<StoredImage, "id" | "config"> & {
  layers: readonly { diffId: string }[];
};

function newRecord(o: {
  engine: EngineContext;
  id: string;
  name: string;
  image: DraftImage;
  config: ContainerConfig;
  hostConfig: HostConfig;
  request: CreateRequest;
}): ContainerRecord {
  const { engine, id, name, image, config, hostConfig, request } = o;
  config.Hostname ||= defaultHostname(engine, id, hostConfig);
  config.Image = request.config.Image ?? "";
  const [path = "", ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const networkMode = hostConfig.NetworkMode ?? "bridge";
  const wanted = request.networkingConfig?.EndpointsConfig ?? {};
  const endpoints = wantedEndpoints(engine, networkMode, wanted);
  const main = endpoints[networkNameOf(engine, networkMode)];
  if (main && config.MacAddress) main.MacAddress ||= config.MacAddress;
  const links = wantedLinks(engine, hostConfig);
  return {
    id,
    name,
    created: timestamp(),
    path,
    args,
    imageId: image.id,
    imageName: request.config.Image ?? "",
    platform: image.config.os || "linux",
    diffIds: image.layers.map((layer) => layer.diffId),
    config,
    hostConfig,
    endpoints,
    ...(links.length > 0 && { links }),
    mounts: [],
    intent: "creating",
    manuallyStopped: false,
    restartCount: 0,
    startedAt: NEVER,
    finishedAt: NEVER,
    exitCode: 0,
    oomKilled: false,
    error: "",
  };
}

function defaultHostname(engine: EngineContext, id: string, host: HostConfig): string {
  if (host.NetworkMode === "host" || host.UTSMode === "host") return hostname();
  const shared = containerOf(host.NetworkMode);
  if (shared !== undefined) return engine.containers.find(shared).config.Hostname ?? "";
  return id.slice(0, 12);
}

function sizeOf({ options }: EngineContext, host: HostConfig): { sizeBytes?: number } {
  const sizeBytes = storageSize(host.StorageOpt) ?? options.defaults.storageBytes;
  return sizeBytes === undefined ? {} : { sizeBytes };
}
