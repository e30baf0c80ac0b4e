// Why a volume could not be mounted, in docker's words first, then what the kernel itself says and
// what can be done about it.

import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { Native, Operation, PlanFailure } from "../../native/index.ts";
import { describeMount, isBind, type VolumeMount } from "./driver-options.ts";

/** errno names as Go's syscall package words them. */
const WORDS: Readonly<Record<string, string>> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  EIO: "input/output error",
  ENXIO: "no such device or address",
  EACCES: "permission denied",
  ENOTBLK: "block device required",
  EBUSY: "device or resource busy",
  ENODEV: "no such device",
  ENOTDIR: "not a directory",
  EINVAL: "invalid argument",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
  ELOOP: "too many levels of symbolic links",
  ENOMEM: "cannot allocate memory",
  ETIMEDOUT: "connection timed out",
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  EHOSTDOWN: "host is down",
  ENETUNREACH: "network is unreachable",
  EUCLEAN: "structure needs cleaning",
  EPROTONOSUPPORT: "protocol not supported",
  EPROTO: "protocol error",
  ESTALE: "stale NFS file handle",
  EOPNOTSUPP: "operation not supported",
};

const DRY_RUN_DEADLINE_MS = 5_000;
/** One option of the new mount API has at most 255 bytes. */
const OPTION_BYTES_MAX = 255;

/** The error of a volume whose mount failed; the kernel is asked for its reason. */
export async function mountFailure(
  native: Native,
  mount: VolumeMount,
  path: string,
  error: unknown,
): Promise<GantryError> {
  const errno = errnoOf(error);
  const why = errno === undefined ? lateOr(error) : (WORDS[errno] ?? errno);
  const hint = hintOf(mount, errno) ?? (errno && (await kernelReason(native, mount)));
  const told = `failed to mount local volume: ${describeMount(mount, path)}: ${why}`;
  return new GantryError(
    "internal",
    `error while mounting volume '${path}': ${told}${hint ? ` (${hint})` : ""}`,
    { cause: error, detail: { ...(errno && { errno }), path } },
  );
}

function lateOr(error: unknown): string {
  return error instanceof GantryError && error.kind === "timeout"
    ? "connection timed out"
    : messageOf(error);
}

function hintOf(mount: VolumeMount, errno: string | undefined): string | undefined {
  if (errno === "ENODEV" && !isBind(mount)) {
    const module = mount.fstype.replace(/^nfs4$/, "nfs").replace(/^smb3$/, "cifs");
    return `this kernel does not know the file system ${mount.fstype}: load its module ${module}`;
  }
  if (errno === "ENOTBLK") {
    return `${mount.device} is a file: give it a loop device first, or bind a folder`;
  }
  if (errno === "ENOENT" && isBind(mount)) return `there is no ${mount.device} on this host`;
  return undefined;
}

/** The new mount API tells what it does not like ("Bad value for 'size'"); nothing is attached. */
async function kernelReason(native: Native, mount: VolumeMount): Promise<string | undefined> {
  if (isBind(mount) || mount.fstype === "none") return undefined;
  const options = [`source=${mount.device}`, ...mount.data.split(",").filter(Boolean)];
  if ((mount.flags & 1) !== 0) options.push("ro");
  if (options.some((o) => Buffer.byteLength(o) > OPTION_BYTES_MAX || /=@/.test(o))) {
    return undefined;
  }
  const host: Operation[] = [{ op: "fsmount", fstype: mount.fstype, options, to: 0 }];
  try {
    await native.run({ host, deadlineMs: DRY_RUN_DEADLINE_MS });
    return undefined;
  } catch (error) {
    const text = error instanceof GantryError ? (error.detail as Partial<PlanFailure>).text : "";
    const reason = /^[^:]*: (.+)$/.exec(text ?? "")?.[1];
    return /pass/i.test(reason ?? "") ? undefined : reason;
  }
}
