// --storage-opt size=10G: how much a container may write into its root file system.

import { GantryError, parseRamBytes } from "../../base/index.ts";
import { checkSize } from "../../storage/index.ts";

type StorageOptions = Readonly<Record<string, string>> | null | undefined;

/** In bytes; undefined without a limit. Throws invalid, in docker's words where it has some. */
export function storageSize(options: StorageOptions): number | undefined {
  let bytes: number | undefined;
  for (const [key, value] of Object.entries(options ?? {})) {
    if (key.toLowerCase() !== "size") {
      throw new GantryError("invalid", `Unknown option ${key}`);
    }
    bytes = parseRamBytes(value);
    checkSize(bytes);
  }
  return bytes;
}
