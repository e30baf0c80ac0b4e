// Cause and remedy of a mount that could not be made. Pure but for a look at the source.

import { stat } from "node:fs/promises";
import type { Advice } from "../../base/index.ts";
import type { Operation } from "../../native/index.ts";
import type { ContainerRecord } from "../containers/record.ts";

type MountOperation = Extract<Operation, { op: "moveMount" | "openTree" }>;

export async function adviseMount(
  c: ContainerRecord,
  operation: MountOperation,
  errno: string,
): Promise<Advice | undefined> {
  const { path } = operation;
  const mount = c.mounts.find((one) =>
    operation.op === "moveMount" ? one.Destination === path : one.Source === path,
  );
  if (!mount) return undefined;
  const source = await stat(mount.Source).catch(() => undefined);
  if (!source) {
    return {
      cause: `the host has nothing at ${mount.Source}, which is to be mounted at ${mount.Destination}`,
      remedy: [`make it (mkdir -p ${mount.Source}), or use -v, which makes a missing folder`],
    };
  }
  if (["EINVAL", "ENOTDIR", "EISDIR", "EEXIST"].includes(errno)) {
    const [is, other] = source.isDirectory() ? ["a folder", "a file"] : ["a file", "a folder"];
    return {
      cause: `${mount.Source} is ${is}, and the image has ${other} at ${mount.Destination}`,
      remedy: [`mount ${other} there, or choose another target`],
    };
  }
  if (errno === "EROFS") {
    return {
      cause: `there is nothing at ${mount.Destination} to mount on, and the root is read-only`,
      remedy: ["make the mount point in the image, or leave --read-only out"],
    };
  }
  return undefined;
}
