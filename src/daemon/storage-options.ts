// storage-opts of daemon.json: overlay2.size is every container's size limit, where it asks for no
// other. The rest of docker's options has no meaning here, which is said.

import { GantryError, messageOf, parseRamBytes } from "../base/index.ts";

/** What containers may write by default, in bytes; undefined: as much as there is. */
export function storageSizeOption(options: readonly string[]): number | undefined {
  let bytes: number | undefined;
  for (const option of options) {
    const equals = option.indexOf("=");
    if (equals < 0) {
      throw new GantryError("invalid", `unable to parse storage-opt option: ${option}`);
    }
    const key = option.slice(0, equals).toLowerCase();
    const value = option.slice(equals + 1);
    if (key === "overlay2.size") bytes = parseSize(option, value);
    // Docker's own override of a check that is not made here.
    else if (key !== "overlay2.override_kernel_check") {
      throw new GantryError("invalid", `overlay2: unknown option ${key}`);
    }
  }
  return bytes;
}

function parseSize(option: string, value: string): number {
  try {
    return parseRamBytes(value);
  } catch (cause) {
    throw new GantryError("invalid", `${option}: ${messageOf(cause)}`, { cause });
  }
}
