// Paths inside an image: always with slashes, cleaned as Go's path.Clean does, never leading above
// the root.

import { posix } from "node:path";

/** `path` seen from `folder`, absolute and without a slash at its end. */
export function resolvePath(folder: string, path: string): string {
  return posix.resolve("/", folder, path);
}

/**
 * The destination of ADD and COPY: absolute; a slash at its end, which says that it is a folder, is
 * kept. "." and "" are the working folder itself.
 */
export function resolveDestination(folder: string, path: string): string {
  const resolved = resolvePath(folder, path);
  const isFolder = path === "" || path === "." || path.endsWith("/") || path.endsWith("/.");
  return isFolder && resolved !== "/" ? `${resolved}/` : resolved;
}

/** A source path seen from the root of what it is copied from; leading `..` lead nowhere. */
export function sourcePath(path: string): string {
  return posix.resolve("/", path);
}
