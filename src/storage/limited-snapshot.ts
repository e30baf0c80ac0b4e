// The writable folders of a container that has a size limit: in a project of their own, or in a
// file system inside a file, where nothing is mounted but while an overlay stands on it.

import { rm, rmdir, stat } from "node:fs/promises";
import type { Native, Operation } from "../native/index.ts";
import { diskImage, mountDisk, type SizeLimit, type SizeLimits } from "./quota.ts";
import { recoverImage } from "./quota-tools.ts";
import type { StoragePaths } from "./storage-paths.ts";

const DISK = 0; // slot

export class LimitedSnapshots {
  #native: Native;
  #paths: StoragePaths;
  #limits: SizeLimits;

  constructor(native: Native, paths: StoragePaths, limits: SizeLimits) {
    this.#native = native;
    this.#paths = paths;
    this.#limits = limits;
  }

  /** Limits the empty upper and work folder that are there; an image takes their place. */
  async create(id: string, bytes: number): Promise<SizeLimit> {
    const limit = await this.#limits.create(this.#area(id), bytes);
    if (limit.kind === "image") {
      const { uid, gid, mode } = await stat(this.#paths.upper(id));
      const disk = diskImage(this.#paths.disk(id), limit);
      const host: Operation[] = [
        mountDisk(disk, DISK),
        { op: "mkdir", root: DISK, path: "work", mode: 0o700 },
        { op: "mkdir", root: DISK, path: "fs", mode: 0o700 },
        { op: "chown", root: DISK, path: "fs", uid, gid },
        { op: "chmod", root: DISK, path: "fs", mode: mode & 0o7777 },
      ];
      await this.#native.run({ host });
      for (const path of this.#area(id).folders) await rmdir(path);
    }
    return limit;
  }

  async resize(id: string, limit: SizeLimit, bytes: number): Promise<SizeLimit> {
    return await this.#limits.resize(this.#area(id), limit, bytes);
  }

  /** At boot. */
  async recover(id: string): Promise<void> {
    await recoverImage(this.#paths.disk(id));
  }

  /** A fresh work folder. */
  async renew(id: string, limit: { fstype: string }): Promise<void> {
    const host: Operation[] = [
      mountDisk(diskImage(this.#paths.disk(id), limit), DISK),
      { op: "removeTree", root: DISK, path: "work", missingOk: true },
      { op: "mkdir", root: DISK, path: "work", mode: 0o700 },
    ];
    await this.#native.run({ host });
  }

  /** Puts a folder that was made anew under a quota. */
  async adopt(path: string, limit: SizeLimit): Promise<void> {
    if (limit.kind !== "project") return;
    await this.#native.run({ host: [{ op: "setProject", path, project: limit.project }] });
  }

  /** Before the folders are discarded; takes the image away. */
  async release(id: string, limit: SizeLimit): Promise<void> {
    await this.#limits.release(this.#area(id), limit);
    await rm(this.#paths.disk(id), { force: true });
  }

  #area(id: string) {
    const folders = [this.#paths.upper(id), this.#paths.work(id)];
    return { folders, image: this.#paths.disk(id) };
  }
}
