// What a plan writes to the files of one cgroup: that is what its unit is told too.

import type { Operation } from "../native/index.ts";
import type { CgroupFile } from "./unit-properties.ts";

export function cgroupFiles(operations: readonly Operation[], folder: string): CgroupFile[] {
  return operations.flatMap((operation) => {
    if (operation.op !== "write" || !operation.path.startsWith(`${folder}/`)) return [];
    const file = operation.path.slice(folder.length + 1);
    return file.includes("/") ? [] : [{ file, value: Buffer.from(operation.data).toString() }];
  });
}
