// The door to volumes.

import type { Readable } from "node:stream";
import type { Filters, Signal } from "./shared-nouns.ts";

export interface Volume {
  Name: string;
  Driver: string;
  Mountpoint: string;
  CreatedAt: string;
  Labels: Record<string, string> | null;
  Options: Record<string, string> | null;
  Scope: "local" | "global";
  UsageData?: { Size: number; RefCount: number };
  /** Of inspect: SizeLimit and SizeUsed in bytes, and what keeps the limit. */
  Status?: Record<string, unknown>;
}
export interface Volumes {
  create(o: {
    Name?: string;
    Driver?: string;
    DriverOpts?: Record<string, string>;
    Labels?: Record<string, string>;
  }): Promise<Volume>;
  inspect(name: string): Promise<Volume>;
  /** Changes driver options, also in use: of the local driver only size. */
  update(name: string, o: { DriverOpts?: Record<string, string> }): Promise<void>;
  list(filters?: Filters): Promise<{ volumes: Volume[]; warnings: string[] }>;
  /** Everything in it as a tar. */
  export(name: string, o?: Signal): Promise<Readable>;
  /** Unpacks a tar into a volume that is new or empty. */
  import(name: string, tar: Readable, o?: Signal): Promise<Volume>;
  clone(from: string, to: string, o?: Signal): Promise<Volume>;
  remove(name: string, o?: { force?: boolean }): Promise<void>;
  prune(filters?: Filters): Promise<{ deleted: string[]; spaceReclaimed: number }>;
}
