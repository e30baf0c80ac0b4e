// Says why a start failed as dockerd and runc say it, because clients grep these words: the docker
// CLI exits with 127 or 126 when it finds "executable file not found", "permission denied" …

import { type ErrorKind, errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { Operation, PlanFailure } from "../../native/index.ts";
import type { ContainerRecord } from "./record.ts";

const PREFIX =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: " +
  "runc create failed: unable to start container process: error during container init: ";
const EXEC_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: ";

const EXIT_NOT_FOUND = 127;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_UNKNOWN = 128;

const words: Record<string, string> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ENOEXEC: "exec format error",
  EISDIR: "is a directory",
  ENOTDIR: "not a directory",
  ELOOP: "too many levels of symbolic links",
  ENOMEM: "cannot allocate memory",
  ENOSPC: "no space left on device",
  EINVAL: "invalid argument",
  E2BIG: "argument list too long",
  EBUSY: "device or resource busy",
  ENODEV: "no such device",
  ETXTBSY: "text file busy",
  EAGAIN: "resource temporarily unavailable",
};

export interface Explained {
  error: GantryError;
  exitCode: number;
}

export function explainStartFailure(c: ContainerRecord, error: unknown): Explained {
  const failure = failureOf(error);
  const operation = failure?.operation;
  if (failure && operation?.op === "mountAttr" && operation.userns !== undefined) {
    return { error: idmapError(c, failure, error), exitCode: EXIT_UNKNOWN };
  }
  if (failure && c.userns && (operation?.op === "makeUserns" || operation?.op === "clone")) {
    const told = usernsError(failure, error);
    if (told) return { error: told, exitCode: EXIT_UNKNOWN };
  }
  if (failure && operation?.op === "openTree" && operation.root !== undefined) {
    const why = words[failure.errno] ?? failure.errno;
    const message = `cannot access path ${JSON.stringify(operation.path)}: ${why}`;
    return { error: new GantryError("invalid", message, { cause: error }), exitCode: EXIT_UNKNOWN };
  }
  return explain(error, PREFIX, c.path);
}

/** The kernel says no more than EINVAL where a file system cannot map ids (overlay, nfs, cifs). */
function idmapError(c: ContainerRecord, failure: PlanFailure, cause: unknown): GantryError {
  const path = failure.operation?.op === "mountAttr" ? failure.operation.of : undefined;
  const why =
    failure.errno === "EINVAL"
      ? "its file system does not support id-mapped mounts"
      : (words[failure.errno] ?? failure.errno);
  return new GantryError(
    "invalid",
    `cannot map the owner of the files of ${path || "a mount"}: ${why}; ${remedyFor(c, path)}`,
    { cause },
  );
}

/** What the kernel says where it makes no more of them, or none at all. */
function usernsError({ errno }: PlanFailure, cause: unknown): GantryError | undefined {
  if (errno === "ENOSPC" || errno === "EUSERS") {
    const message =
      "the kernel makes no more user namespaces: raise the sysctl user.max_user_namespaces, " +
      "remove containers, or use --userns=host";
    return new GantryError("exhausted", message, { cause });
  }
  if (errno !== "EINVAL") return undefined;
  const message = "the kernel has no user namespaces (CONFIG_USER_NS): use --userns=host";
  return new GantryError("not-implemented", message, { cause });
}

function remedyFor(c: ContainerRecord, path: string | undefined): string {
  const mount = c.mounts.find(({ Source }) => Source === path);
  if (!c.userns) return "leave idmap out, or change their owner";
  if (!mount) return "use --userns=host";
  return `mount it with idmap=none, which shows its files as the host's, or use --userns=host`;
}

/** As explainStartFailure, for a command run in a running container. */
export function explainExecFailure(command: string, error: unknown): Explained {
  return explain(error, EXEC_PREFIX, command);
}

function explain(error: unknown, prefix: string, command: string): Explained {
  const failure = failureOf(error);
  if (!failure) {
    const kept = error instanceof GantryError ? error : undefined;
    const code = kept?.detail["exitCode"];
    return {
      error: kept ?? new GantryError("internal", messageOf(error), { cause: error }),
      exitCode: typeof code === "number" ? code : EXIT_UNKNOWN,
    };
  }
  const { reason, exitCode, kind } = reasonOf(failure, command);
  return {
    error: new GantryError(kind, `${prefix}${reason}: unknown`, {
      cause: error,
      detail: { ...failure, exitCode },
    }),
    exitCode,
  };
}

function reasonOf(
  failure: PlanFailure,
  command: string,
): { reason: string; exitCode: number; kind: ErrorKind } {
  const operation = failure.operation;
  // What move_mount(2) says of a folder on a file, or a file on a folder.
  const mismatch = operation?.op === "moveMount" && failure.errno === "EINVAL";
  const errno = mismatch ? "ENOTDIR" : failure.errno;
  const why = words[errno] ?? (failure.text || errno);
  if (operation?.op === "execve") {
    const name = operation.argv[0] ?? command;
    return { ...execReason(name, failure.errno, why), kind: "invalid" };
  }
  if (operation?.op === "chdir") {
    const exitCode = failure.errno === "EACCES" ? EXIT_NOT_EXECUTABLE : EXIT_NOT_FOUND;
    const reason = `chdir to cwd (${JSON.stringify(operation.path)}) set in config.json failed: ${why}`;
    return { reason, exitCode, kind: "invalid" };
  }
  if (operation?.op === "runHook") {
    return { reason: `error running ${failure.text}`, exitCode: EXIT_UNKNOWN, kind: "invalid" };
  }
  const what = operation ? describe(operation) : `${failure.half} operation ${failure.index}`;
  const text = failure.text && failure.text !== why ? ` (${failure.text})` : "";
  if (errno === "ENOTDIR" && operation && isMount(operation)) {
    const hint =
      "Are you trying to mount a directory onto a file (or vice-versa)? " +
      "Check if the specified host path exists and is the expected type";
    return { reason: `${what}: ${why}${text}: ${hint}`, exitCode: EXIT_NOT_FOUND, kind: "invalid" };
  }
  const kind: ErrorKind =
    failure.errno === "ENOSPC" || failure.errno === "ENOMEM" ? "exhausted" : "internal";
  return { reason: `${what}: ${why}${text}`, exitCode: EXIT_UNKNOWN, kind };
}

function execReason(
  name: string,
  errno: string,
  why: string,
): { reason: string; exitCode: number } {
  const quoted = JSON.stringify(name);
  if (errno === "ENOENT" && !name.includes("/")) {
    return {
      reason: `exec: ${quoted}: executable file not found in $PATH`,
      exitCode: EXIT_NOT_FOUND,
    };
  }
  if (errno === "ENOENT" || errno === "ENOTDIR") {
    return { reason: `exec: ${quoted}: stat ${name}: ${why}`, exitCode: EXIT_NOT_FOUND };
  }
  if (errno === "ENOEXEC") {
    return { reason: `exec ${name}: ${why}`, exitCode: EXIT_NOT_EXECUTABLE };
  }
  return { reason: `exec: ${quoted}: ${why}`, exitCode: EXIT_NOT_EXECUTABLE };
}

function isMount(operation: Operation): boolean {
  return operation.op === "moveMount" || operation.op === "openTree";
}

/** `moveMount "/data"`: the operation and what it was about. */
function describe(operation: Operation): string {
  const fields = operation as { path?: unknown; name?: unknown; fstype?: unknown; file?: unknown };
  const object = fields.path ?? fields.name ?? fields.fstype ?? fields.file;
  return object === undefined ? operation.op : `${operation.op} ${JSON.stringify(object)}`;
}

/** What the plan says of its failure, where it was one. */
export function failureOf(error: unknown): PlanFailure | undefined {
  if (!(error instanceof GantryError) || errnoOf(error) === undefined) return undefined;
  return "half" in error.detail ? (error.detail as unknown as PlanFailure) : undefined;
}
