// Files inside a container's root, running or not: docker cp, export, diff, volume copy-up. Each
// call is one plan in a native process that has entered the root, so no path, symlink or race can
// lead outside, and nothing of the container is ever executed.

import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import type { RootfsMount } from "../spec/index.ts";
import { ARCHIVE, O } from "./archive-flags.ts";
import { decompress } from "./compression.ts";
import { archiveError, readOutput, runWithInput } from "./native-streams.ts";
import { mountOverlay, openUpper } from "./overlay-mount.ts";

/** Where the root is. `volumes` of a stopped container are mounted for the call. */
export type RootSource =
  | {
      kind: "process";
      pid: number;
      /** Which process is meant: a pid may be another's by now. */
      startTicks: bigint;
      /** It is in a user namespace of its own: owners are those that its root sees. */
      userns?: boolean;
    }
  | {
      kind: "mount";
      rootfs: RootfsMount;
      readOnly?: boolean;
      volumes?: readonly VolumeSource[];
    };
export interface VolumeSource {
  source: string;
  target: string;
  readOnly?: boolean;
  /** A folder beneath `source`, resolved inside it. */
  subpath?: string;
}

export interface FileStat {
  mode: number; // st_mode
  uid: number;
  gid: number;
  size: number;
  mtimeNs: bigint;
  rdev: bigint;
  linkTarget: string; // "" unless a symlink
  /** The path after all symlinks, also where it ends in nothing; "" for a loop of links. */
  resolved: string;
}
export type FileChange = { kind: "A" | "C" | "D"; path: string };
type Call = { signal?: AbortSignal };

const CLONE_NEWNS = 0x20000;
const MS_REC_PRIVATE = 0x4000 | 0x40000;
const MOUNT_ATTR_RDONLY = 1;
const GLOB_MATCHES_MAX = 10_000;
const GLOB_DEADLINE_MS = 60_000;
const TREE_DEADLINE_MS = 3_600_000;
const ROOT = 0; // slot of the root in every plan here

export class RootFiles {
  #native: Native;

  constructor(native: Native) {
    this.#native = native;
  }

  /** lstat inside the root; with `follow`, of what a symlink leads to. */
  async stat(
    source: RootSource,
    path: string,
    { follow = false, signal }: Call & { follow?: boolean } = {},
  ): Promise<FileStat> {
    const host: Operation[] = [
      ...enter(source, false),
      { op: "statPath", root: ROOT, path, follow },
    ];
    const results = await this.#run(host, signal);
    const bytes = results.bytes(host.length - 1);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const number = (at: number) => view.getBigInt64(at * 8, true);
    const [linkTarget = "", resolved = ""] = Buffer.from(bytes.subarray(72)).toString().split("\0");
    return {
      mode: Number(number(2)),
      uid: Number(number(3)),
      gid: Number(number(4)),
      size: Number(number(5)),
      mtimeNs: number(6) * 1_000_000_000n + number(7),
      rdev: number(8),
      linkTarget,
      resolved,
    };
  }

  /** Removes what was made in an upper folder only to mount on. `lowerDirs`: what it stands on. */
  async dropPoints(
    upperDir: string,
    lowerDirs: readonly string[],
    paths: readonly string[],
  ): Promise<void> {
    if (paths.length === 0) return;
    const base = lowerDirs.length > 0 ? { base: 1 } : {};
    await this.#run([
      { op: "open", path: upperDir, flags: O.path | O.directory, to: ROOT },
      ...(lowerDirs.length > 0 ? mountOverlay({ lowerDirs }, 1) : []),
      { op: "dropPoints", root: ROOT, ...base, paths: [...paths] },
    ]);
  }

  /** The files inside the root that a shell's pattern (*, ?, [a-z]) matches, sorted. */
  async glob(source: RootSource, pattern: string, { signal }: Call = {}): Promise<string[]> {
    const host: Operation[] = [
      ...enter(source, false),
      { op: "globPath", root: ROOT, pattern, max: GLOB_MATCHES_MAX },
    ];
    const results = await this.#run(host, signal, GLOB_DEADLINE_MS);
    if (!results.has(host.length - 1)) return [];
    const text = Buffer.from(results.bytes(host.length - 1)).toString();
    return text.split("\0").filter((path) => path !== "");
  }

  /** Makes the folders and files that a stopped container's volumes are mounted on. */
  async makeMountPoints(source: RootSource, { signal }: Call = {}): Promise<void> {
    await this.#run(enter(source, true), signal);
  }

  /** `path` as a tar whose first component is `name` (default: the last part of `path`).
   * `contents`: what the folder holds, without itself. */
  tar(
    source: RootSource,
    path: string,
    { name = "", contents = false, signal }: Call & { name?: string; contents?: boolean } = {},
  ): Readable {
    const flags = contents ? ARCHIVE.contents : 0;
    return this.#output(source, (to) => ({ op: "tar", root: ROOT, path, name, to, flags }), signal);
  }

  /** The whole root as a tar; mount points appear empty. */
  export(source: RootSource, { signal }: Call = {}): Readable {
    const flags = ARCHIVE.contents | ARCHIVE.oneMount;
    return this.#output(source, (to) => ({ op: "tar", root: ROOT, path: "/", to, flags }), signal);
  }

  #output(source: RootSource, last: (to: number) => Operation, signal?: AbortSignal): Readable {
    return readOutput(
      this.#native,
      ({ path, token }) => [
        { op: "connect", path, token, to: 1 },
        ...enter(source, false),
        { op: "chroot", slot: ROOT },
        last(1),
      ],
      signal ? { signal } : {},
    );
  }

  /** Unpacks a tar (plain, gzip or zstd) into the folder `path`. `owner` replaces every owner in
   * it; `keepKind`: no folder replaces another kind of file, nor is replaced by one; `withRoot`: an
   * entry "." says what `path` itself is to be like. */
  async untar(
    source: RootSource,
    path: string,
    tar: Readable,
    options: Call & {
      owner?: { uid: number; gid: number };
      keepKind?: boolean;
      withRoot?: boolean;
    } = {},
  ): Promise<void> {
    const { owner, keepKind = false, withRoot = false, signal } = options;
    const { stream: plain } = await decompress(tar);
    const flags =
      (withRoot ? 0 : ARCHIVE.keepRoot) |
      (owner ? ARCHIVE.chown : 0) |
      (keepKind ? ARCHIVE.keepKind : 0);
    await runWithInput(
      this.#native,
      plain,
      (stream) => [
        { op: "connect", path: stream.path, token: stream.token, to: 1 },
        ...enter(source, true),
        { op: "chroot", slot: ROOT },
        { op: "untar", root: ROOT, path, from: 1, flags, ...(owner ?? {}) },
      ],
      signal ? { signal } : {},
    );
  }

  /** What the container changed in its root file system: its upper folder against the layers. */
  async changes(rootfs: RootfsMount, { signal }: Call = {}): Promise<FileChange[]> {
    if (rootfs.kind !== "overlay") {
      throw new GantryError(
        "not-implemented",
        "Changes are known of overlay root file systems only",
      );
    }
    const host: Operation[] = [
      ...openUpper(rootfs, 1),
      ...mountOverlay({ lowerDirs: rootfs.lowerDirs }, ROOT),
      { op: "changes", upper: 1, lower: ROOT },
    ];
    const results = await this.#run(host, signal);
    if (!results.has(host.length - 1)) return []; // nothing changed
    const text = Buffer.from(results.bytes(host.length - 1)).toString();
    const changes = text
      .split("\0")
      .filter((line) => line !== "")
      .map((line) => ({ kind: line[0] as FileChange["kind"], path: line.slice(2) }));
    return withFolders(changes).sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  }

  /** Copies the folder `from` of a root into the host folder `to`, all metadata kept. With
   * `ifEmpty`, only into an empty folder; `into`: a folder beneath `to`, resolved inside it.
   * Returns how much was copied. */
  async copyOut(
    source: RootSource,
    from: string,
    to: string,
    { ifEmpty = false, into = "/", signal }: Call & { ifEmpty?: boolean; into?: string } = {},
  ): Promise<{ entries: number; bytes: number }> {
    const host: Operation[] = [
      { op: "open", path: to, flags: O.directory, to: 1 },
      ...enter(source, false),
      {
        op: "copyTree",
        fromRoot: ROOT,
        from,
        toRoot: 1,
        to: into,
        flags: ifEmpty ? ARCHIVE.ifEmpty : 0,
      },
    ];
    const [entries, bytes] = (await this.#run(host, signal)).ints(host.length - 1);
    return { entries: Number(entries), bytes: Number(bytes) };
  }

  /** Bytes of file content and inodes beneath a host folder. */
  async size(path: string, { signal }: Call = {}): Promise<{ bytes: number; inodes: number }> {
    const host: Operation[] = [
      { op: "open", path, flags: O.directory, to: ROOT },
      { op: "treeSize", root: ROOT },
    ];
    const [bytes, inodes] = (await this.#run(host, signal)).ints(1);
    return { bytes: Number(bytes), inodes: Number(inodes) };
  }

  async #run(host: Operation[], signal?: AbortSignal, deadlineMs = TREE_DEADLINE_MS) {
    try {
      return await this.#native.run({ host, deadlineMs }, signal ? { signal } : {});
    } catch (error) {
      throw archiveError(error);
    }
  }
}

/** Puts the root in slot 0. A stopped container that is only read is mounted without its work
 * folder, its upper folder as one more lower layer. */
function enter(source: RootSource, writable: boolean): Operation[] {
  if (source.kind === "process") {
    // Inside its mount namespace, so that what is mounted there cannot be unlinked from outside.
    const { pid, startTicks, userns = false } = source;
    return [{ op: "enterProcess", pid, startTicks, to: ROOT, userns }];
  }
  const { rootfs, volumes = [], readOnly = false } = source;
  if (rootfs.kind === "bind") {
    return [{ op: "open", path: rootfs.path, flags: O.path | O.directory, to: ROOT }];
  }
  const { upperDir, lowerDirs, disk } = rootfs;
  const mount = writable
    ? mountOverlay(rootfs, ROOT)
    : mountOverlay({ lowerDirs: [upperDir, ...lowerDirs], ...(disk && { disk }) }, ROOT);
  if (volumes.length > 0)
    mount.push(...attachVolumes(disk ? dirname(disk.image) : upperDir, volumes, writable));
  if (readOnly && writable) mount.push({ op: "mountAttr", slot: ROOT, set: MOUNT_ATTR_RDONLY });
  return mount;
}

/** Volumes need a tree to be attached to: a private mount namespace, the root over its own upper
 * folder, which nobody else sees. */
function attachVolumes(
  place: string,
  volumes: readonly VolumeSource[],
  writable: boolean,
): Operation[] {
  return [
    { op: "unshare", flags: CLONE_NEWNS },
    { op: "propagation", path: "/", flags: MS_REC_PRIVATE },
    { op: "moveMount", slot: ROOT, path: place },
    { op: "open", path: place, flags: O.path | O.directory, to: ROOT },
    ...volumes.flatMap(({ source, target, readOnly, subpath }): Operation[] => [
      ...openSource(source, subpath),
      ...(readOnly
        ? [{ op: "mountAttr", slot: 2, set: MOUNT_ATTR_RDONLY } satisfies Operation]
        : []),
      { op: "moveMount", slot: 2, root: ROOT, path: target, ...(writable && { make: "same" }) },
    ]),
  ];
}

function openSource(path: string, subpath: string | undefined): Operation[] {
  if (!subpath) return [{ op: "openTree", path, recursive: true, to: 2 }];
  return [
    { op: "open", path, flags: O.path | O.directory, to: 3 },
    { op: "openTree", root: 3, path: subpath, recursive: true, to: 2 },
  ];
}

/** A folder in which something changed counts as changed, as docker lists it. */
function withFolders(changes: FileChange[]): FileChange[] {
  const known = new Set(changes.map(({ path }) => path));
  const folders: FileChange[] = [];
  for (const { path } of changes) {
    for (let parent = dirname(path); !known.has(parent); parent = dirname(parent)) {
      if (parent === "/" || parent === ".") break;
      known.add(parent);
      folders.push({ kind: "C", path: parent });
    }
  }
  return [...changes, ...folders];
}
