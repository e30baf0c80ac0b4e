// The tree on disk, drawn once; this file alone makes paths of it.
//
//   <root>/
//     gantry.db                records, layers, images, references, snapshots (SQLite, WAL)
//     blobs/<algorithm>/<hex>  content store: configs, manifests, layers that cannot be rebuilt
//     damaged/<digest>         blobs that turned out to be damaged; a few, for a look
//     ingest/<random>          blobs being written; emptied at boot
//     partial/<digest>/<start> bytes of a blob that is being transferred, from <start> on
//     layers/<short>/diff      an unpacked layer, overlay format
//     layers/<short>/split     what its exact tar needs beside diff (layer-split.md)
//     inits/<short>/fs         mount-point stubs over one image: see init-layer.ts
//     containers/<id>/fs       upper folder of a container
//     containers/<id>/work     overlay's work folder
//     containers/<id>/disk.img both of them, where a size limit needs a file system of its own
//     trash/<random>           trees on their way out; emptied at boot
//
// Short ids are base 36 counters, so that overlay options with many layers stay short. A layer
// folder without a row in the database is half made, or half deleted, and is removed at boot.

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { algorithmOf, hexOf } from "../spec/index.ts";

export const BLOB_ALGORITHMS = ["sha256", "sha512"] as const;

export class StoragePaths {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }
  get database(): string {
    return join(this.root, "gantry.db");
  }
  /** One folder an algorithm: sha256, sha512. */
  blobFolder(algorithm: string): string {
    return join(this.root, "blobs", algorithm);
  }
  blob(digest: string): string {
    return join(this.blobFolder(algorithmOf(digest)), hexOf(digest));
  }
  get damaged(): string {
    return join(this.root, "damaged");
  }
  damagedBlob(digest: string): string {
    return join(this.damaged, digest.replace(":", "-"));
  }
  get ingest(): string {
    return join(this.root, "ingest");
  }
  ingestFile(): string {
    return join(this.ingest, randomBytes(12).toString("hex"));
  }
  get partials(): string {
    return join(this.root, "partial");
  }
  partial(name: string): string {
    return join(this.partials, name);
  }
  get layers(): string {
    return join(this.root, "layers");
  }
  layer(shortId: string): string {
    return join(this.layers, shortId);
  }
  layerDiff(shortId: string): string {
    return join(this.layers, shortId, "diff");
  }
  layerSplit(shortId: string): string {
    return join(this.layers, shortId, "split");
  }
  get inits(): string {
    return join(this.root, "inits");
  }
  init(shortId: string): string {
    return join(this.inits, shortId);
  }
  get containers(): string {
    return join(this.root, "containers");
  }
  container(id: string): string {
    return join(this.containers, id);
  }
  upper(id: string): string {
    return join(this.containers, id, "fs");
  }
  work(id: string): string {
    return join(this.containers, id, "work");
  }
  disk(id: string): string {
    return join(this.containers, id, "disk.img");
  }
  get trash(): string {
    return join(this.root, "trash");
  }
  trashEntry(): string {
    return join(this.trash, randomBytes(12).toString("hex"));
  }
  /** Every folder that must exist. */
  folders(): string[] {
    const blobs = BLOB_ALGORITHMS.map((algorithm) => this.blobFolder(algorithm));
    return [
      ...blobs,
      this.damaged,
      this.partials,
      this.ingest,
      this.layers,
      this.inits,
      this.containers,
      this.trash,
    ];
  }
}
