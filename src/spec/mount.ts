// The shared noun between storage, which makes root file systems, and the runtime, which mounts
// them: neither imports the other. Host paths are absolute.

/** A file system inside a file. */
export interface DiskImage {
  image: string;
  fstype: string;
  options: readonly string[];
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
    }
  /** A prepared folder (OCI bundle, tests). */
  | { kind: "bind"; path: string };
