// The shared noun between storage, which makes root file systems, and the runtime, which mounts
// them: neither imports the other. Host paths are absolute.

import type { OciIdMapping } from "./oci-runtime.ts";

/** A file system inside a file. */
export interface DiskImage {
  image: string;
  fstype: string;
  options: readonly string[];
}

/** Ids inside a user namespace and outside. */
export interface IdMaps {
  uid: readonly OciIdMapping[];
  gid: readonly OciIdMapping[];
}

export type RootfsMount =
  | {
      kind: "overlay";
      /** Top layer first, as overlay's lowerdir wants it. */
      lowerDirs: readonly string[];
      upperDir: string;
      workDir: string;
      /** Skip syncs: for containers whose upper layer need not survive a power cut. */
      volatile?: boolean;
      /** A size limit: upperDir and workDir are then the folders of that name in the root of this
       * file system, which whoever mounts the overlay mounts first; nothing is at their paths. */
      disk?: DiskImage;
      /** SELinux label of everything in it, whatever the files' own are. */
      mountLabel?: string;
      /** Root's files on the disk are those of the root of this user namespace, and so on. */
      idMaps?: IdMaps;
    }
  /** A prepared folder (OCI bundle, tests). */
  | { kind: "bind"; path: string };
