// The shared noun between storage, which makes root file systems, and the runtime, which mounts
// them: neither imports the other. Host paths are absolute.

export type RootfsMount =
  | {
      kind: "overlay";
      /** Top layer first, as overlay's lowerdir wants it. */
      lowerDirs: readonly string[];
      upperDir: string;
      workDir: string;
      /** Skip syncs: for containers whose upper layer need not survive a power cut. */
      volatile?: boolean;
    }
  /** A prepared folder (OCI bundle, tests). */
  | { kind: "bind"; path: string };
