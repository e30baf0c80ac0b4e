// Size limits of volumes (`-o size=10G`): what may be asked, where the limited area of a volume is,
// and what it holds. How a limit is kept is storage's affair.

import { dirname, join } from "node:path";
import { GantryError, messageOf, parseRamBytes } from "../../base/index.ts";
import type { Native, Operation } from "../../native/index.ts";
import {
  checkSize,
  diskImage,
  type LimitedArea,
  mountDisk,
  recoverImage,
  type SizeLimit,
  SizeLimits,
} from "../../storage/index.ts";
import type { EnginePaths } from "../paths.ts";
import type { DriverOptions } from "./driver-options.ts";

/** The part of a volume's record that is told of here. */
export interface LimitedVolume {
  name: string;
  options: Record<string, string> | null;
  limit?: SizeLimit;
}

/** Bytes, or undefined where no limit is asked for or the kernel keeps it itself (tmpfs). Throws
 * invalid. */
export function limitAsked(options: DriverOptions | null): number | undefined {
  const bytes = sizeOption(options);
  return options?.["device"] === undefined ? bytes : undefined;
}

function sizeOption(options: DriverOptions | null): number | undefined {
  const text = options?.["size"];
  if (text === undefined) return undefined;
  let bytes: number;
  try {
    bytes = parseRamBytes(text);
  } catch (cause) {
    throw new GantryError("invalid", messageOf(cause), { cause });
  }
  const type = options?.["type"];
  if (options?.["device"] === undefined) checkSize(bytes);
  else if (type !== "tmpfs") {
    const what = type ? `of type ${type}` : "with a device";
    throw new GantryError("invalid", `size limits nothing in a volume ${what}`);
  }
  return bytes;
}

export class VolumeLimits {
  #paths: EnginePaths;
  #limits: SizeLimits;

  constructor(native: Native, paths: EnginePaths) {
    this.#paths = paths;
    this.#limits = new SizeLimits(native);
  }

  /** Limits a volume whose folder was just made. */
  async create(name: string, bytes: number): Promise<SizeLimit> {
    return await this.#limits.create(this.#area(name), bytes);
  }

  async resize({ name, limit }: LimitedVolume, bytes: number): Promise<SizeLimit> {
    if (!limit) {
      const message = `volume ${name} was made without a size limit: it cannot get one`;
      throw new GantryError("conflict", message);
    }
    return await this.#limits.resize(this.#area(name), limit, bytes);
  }

  /** As inspect shows it: docker leaves Status to the driver. */
  async status({ name, limit }: LimitedVolume): Promise<Record<string, unknown> | undefined> {
    if (!limit) return undefined;
    const { used } = await this.#limits.usage(this.#area(name), limit);
    const keeper = limit.kind === "project" ? "project quota" : `${limit.fstype} image`;
    return { SizeLimit: limit.bytes, SizeUsed: used, LimitedBy: keeper };
  }

  async release({ name, limit }: LimitedVolume): Promise<void> {
    if (limit) await this.#limits.release(this.#area(name), limit);
  }

  /** At boot. */
  async recover({ name, limit }: LimitedVolume): Promise<void> {
    if (limit?.kind === "image") await recoverImage(this.#area(name).image);
  }

  #area(name: string): LimitedArea {
    const folder = this.#paths.volumeData(name);
    return { folders: [folder], image: imageOf(folder) };
  }
}

const imageOf = (folder: string): string => join(dirname(folder), "disk.img");

/** Whether the volume's folder is a mount point of its own image. */
export const isImage = ({ limit }: LimitedVolume): boolean => limit?.kind === "image";

/** Mounts the image of a volume on its folder. */
export function mountImage({ limit }: LimitedVolume, folder: string): Operation[] {
  if (limit?.kind !== "image") return [];
  return [
    mountDisk(diskImage(imageOf(folder), limit), 0),
    { op: "moveMount", slot: 0, path: folder },
  ];
}
