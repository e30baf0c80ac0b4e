// The keys of the build cache: a digest over everything that an operation's result depends on, and
// nothing else. A file system counts by its layers' chain, a copy's sources by their content, so
// neither times nor the names of stages and tags, nor a cleaned-up cache, change a key. Proxy
// settings and limits of resources are no part of it.

import { chainIds, digestOf } from "../spec/index.ts";
import type { Root } from "./contract.ts";
import type { CopyOperation, FolderOperation, RunOperation } from "./graph.ts";
import type { RunMount } from "./language/run-mount.ts";

/** Counts up when the meaning of a key changes: older records are then never found again. */
const KEY_VERSION = 2;

/** Names a file system by its content. */
export function rootKey({ layers }: Root): string {
  return chainIds(layers).at(-1) ?? "scratch";
}

/** `mounts`: the content digest of each mount that reads files, "" for the others. */
export function runKey(base: Root, operation: RunOperation, mounts: readonly string[]): string {
  const { args, env, user, workingDir, network, security, script } = operation;
  return keyOf("run", [
    ...[rootKey(base), args, env, user, workingDir, network, security],
    script ? [script.path, script.content] : null,
    operation.mounts.map(({ mount }, index) => [mountKey(mount), mounts[index] ?? ""]),
  ]);
}

/** What a cache or tmpfs holds is not known and does not count; neither do secrets. */
function mountKey(mount: RunMount): unknown {
  switch (mount.type) {
    case "bind":
      return ["bind", mount.target, mount.readOnly];
    case "cache":
      return ["cache", mount.target, mount.id ?? "", mount.readOnly];
    case "tmpfs":
      return ["tmpfs", mount.target];
    case "secret":
      return ["secret", mount.id, mount.target ?? "", mount.env ?? ""];
    case "ssh":
      return ["ssh", mount.id, mount.target ?? ""];
  }
}

/** A copy that stands alone (--link) does not depend on what it is put on. */
export function copyKey(
  base: Root,
  operation: CopyOperation,
  sources: readonly string[],
  destination: string,
): string {
  const { inline, chown, chmod, exclude, parents, unpack } = operation;
  return keyOf("copy", [
    ...[rootKey(base), destination, chown ?? "", chmod ?? null, exclude, parents, unpack],
    inline.map(({ name, content }) => [name, content]),
    operation.sources.map(({ paths }, index) => [
      paths.map(({ path, pattern }) => [path, pattern ?? null]),
      sources[index],
    ]),
  ]);
}

export function folderKey(base: Root, { path, user }: FolderOperation): string {
  return keyOf("folder", [rootKey(base), path, user]);
}

function keyOf(kind: string, parts: readonly unknown[]): string {
  return digestOf(JSON.stringify([KEY_VERSION, kind, ...parts]));
}
