// Limits on how much a folder may hold, enforced by the kernel: a project quota where the file
// system has it (XFS, ext4 with prjquota), otherwise a file system of that size inside a sparse
// file. What fills up is the container's own: it gets EDQUOT or ENOSPC, the host goes on.

import { open, rm, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { errnoOf, GantryError, humanBinarySize, KeyedMutex } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import type { DiskImage } from "../spec/index.ts";
import { growOffline, makeFileSystem } from "./quota-tools.ts";

export type SizeLimit =
  | { kind: "project"; bytes: number; project: number }
  | { kind: "image"; bytes: number; fstype: string };

/** What is limited: folders that exist, or the file that takes their place. */
export interface LimitedArea {
  folders: readonly string[];
  image: string;
}
export interface AreaUsage {
  limit: number;
  used: number;
}

/** Less than this no file system can be made in. */
export const LIMIT_BYTES_MIN = 8 << 20;
/** Projects of ours: docker and people count from 1. */
const PROJECT_MIN = 0x4000_0000;
const PROJECT_MAX = 0x7fff_ffff;
const PROJECT_TRIES_MAX = 64;
const DETACH_TRIES_MAX = 40;
const DETACH_PAUSE_MS = 25;

/** What to give mount: freed blocks go back to the host, unused inode tables stay unwritten. */
const MOUNT_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  ext4: ["discard", "noinit_itable"],
  xfs: ["discard"],
  btrfs: ["discard=async"],
};

export function diskImage(image: string, { fstype }: { fstype: string }): DiskImage {
  return { image, fstype, options: MOUNT_OPTIONS[fstype] ?? [] };
}

/** The operation that puts the file system inside an image into a slot, detached. */
export function mountDisk({ image: path, fstype, options }: DiskImage, to: number): Operation {
  return { op: "mountImage", path, fstype, options, to };
}

export class SizeLimits {
  #native: Native;
  #lock = new KeyedMutex();

  constructor(native: Native) {
    this.#native = native;
  }

  /** Limits an area that is empty. With an image the caller mounts it instead of the folders. */
  async create(area: LimitedArea, bytes: number): Promise<SizeLimit> {
    checkSize(bytes);
    const folder = area.folders[0]!;
    if (!(await this.#state(folder, 0)).enforced) return await this.#createImage(area, bytes);
    return await this.#lock.run("project", async () => {
      const project = await this.#freeProject(folder);
      const host = area.folders.map((path): Operation => ({ op: "setProject", path, project }));
      await this.#native.run({
        host: [{ op: "setQuota", path: folder, project, bytes }, ...host],
      });
      return { kind: "project", bytes, project };
    });
  }

  async #createImage({ image }: LimitedArea, bytes: number): Promise<SizeLimit> {
    try {
      const file = await open(image, "wx", 0o600);
      await file.truncate(bytes).finally(() => file.close());
      const fstype = await makeFileSystem(image, bytes);
      // Made by mkfs for fsck, which makes it again: in the way of whoever wants an empty folder.
      await this.#native.run({
        host: [
          mountDisk(diskImage(image, { fstype }), 0),
          { op: "rmdir", root: 0, path: "lost+found", missingOk: true },
        ],
      });
      return { kind: "image", bytes, fstype };
    } catch (error) {
      await rm(image, { force: true });
      throw error;
    }
  }

  async #freeProject(folder: string): Promise<number> {
    for (let i = 0; i < PROJECT_TRIES_MAX; i++) {
      const range = PROJECT_MAX - PROJECT_MIN;
      const project = PROJECT_MIN + Math.floor(Math.random() * range);
      const { limit, used, inodes } = await this.#state(folder, project);
      if (limit === 0 && used === 0 && inodes === 0) return project;
    }
    throw new GantryError("exhausted", "No free project id for a quota");
  }

  /** Changes the limit while the area is in use; an image only grows. Commit point: the kernel
   * has the new limit. */
  async resize(area: LimitedArea, limit: SizeLimit, bytes: number): Promise<SizeLimit> {
    checkSize(bytes);
    if (bytes === limit.bytes) return limit;
    if (limit.kind === "project") {
      const { used } = await this.#state(area.folders[0]!, limit.project);
      if (bytes < used) throw tooSmall(bytes, used);
      const { project } = limit;
      const path = area.folders[0]!;
      await this.#native.run({ host: [{ op: "setQuota", path, project, bytes }] });
      return { ...limit, bytes };
    }
    if (bytes < limit.bytes) {
      throw new GantryError(
        "invalid",
        `size ${humanBinarySize(bytes)} is less than ${humanBinarySize(limit.bytes)}: ` +
          `a limit that is kept by an ${limit.fstype} image can only grow`,
      );
    }
    await this.#grow(area.image, limit.fstype, bytes);
    return { ...limit, bytes };
  }

  async #grow(image: string, fstype: string, bytes: number): Promise<void> {
    const host: Operation[] = [
      mountDisk(diskImage(image, { fstype }), 0),
      { op: "growImage", path: image, bytes, mount: 0 },
    ];
    try {
      await this.#native.run({ host });
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EOPNOTSUPP") {
        const message = `an image with ${fstype} cannot grow: only ext4 and btrfs can`;
        throw new GantryError("not-implemented", message, { cause: error });
      }
      // ext4 asks for CAP_SYS_RESOURCE to grow while it is mounted.
      if (errno !== "EPERM" || fstype !== "ext4") throw error;
      if (!(await this.#isDetached(image))) {
        const message =
          "to grow an ext4 image while it is in use the daemon needs CAP_SYS_RESOURCE: " +
          "stop what uses it, and try again";
        throw new GantryError("conflict", message, { cause: error });
      }
      await growOffline(image, bytes);
    }
  }

  async #isAttached(path: string): Promise<boolean> {
    const results = await this.#native.run({ host: [{ op: "imageAttached", path }] });
    return results.ints(0)[0] === 1n;
  }

  /** The kernel lets go of our own mounts when a worker has ended, which nothing tells. */
  async #isDetached(path: string): Promise<boolean> {
    for (let i = 0; i < DETACH_TRIES_MAX; i++) {
      if (!(await this.#isAttached(path))) return true;
      await setTimeout(DETACH_PAUSE_MS);
    }
    return false;
  }

  async usage(area: LimitedArea, limit: SizeLimit): Promise<AreaUsage> {
    if (limit.kind === "project") {
      const { used } = await this.#state(area.folders[0]!, limit.project);
      return { limit: limit.bytes, used };
    }
    // What the host has given for it; what is deleted inside comes back by discard.
    const { blocks } = await stat(area.image);
    return { limit: limit.bytes, used: blocks * 512 };
  }

  /** Before the area is deleted. */
  async release(area: LimitedArea, limit: SizeLimit): Promise<void> {
    if (limit.kind !== "project") return;
    const { project } = limit;
    const host: Operation[] = [{ op: "setQuota", path: area.folders[0]!, project, bytes: 0 }];
    await this.#native.run({ host }).catch((error: unknown) => {
      if (errnoOf(error) !== "ENOENT") throw error;
    });
  }

  async #state(path: string, project: number) {
    const results = await this.#native.run({ host: [{ op: "projectState", path, project }] });
    const [enforced, limit, used, inodes] = results.ints(0).map(Number);
    return { enforced: enforced === 1, limit: limit!, used: used!, inodes: inodes! };
  }
}

/** Throws invalid for what no limit can be. */
export function checkSize(bytes: number): void {
  if (Number.isSafeInteger(bytes) && bytes >= LIMIT_BYTES_MIN) return;
  const least = humanBinarySize(LIMIT_BYTES_MIN);
  throw new GantryError("invalid", `size must be at least ${least}: ${humanBinarySize(bytes)}`);
}

const tooSmall = (bytes: number, used: number) =>
  new GantryError(
    "invalid",
    `size ${humanBinarySize(bytes)} is less than the ${humanBinarySize(used)} that are in use`,
  );
