export { ARCHIVE } from "./archive-flags.ts";
export { type Compression, decompress, decompressAs, detectCompression } from "./compression.ts";
export type {
  Collection,
  ContentStore,
  Descriptor,
  ImageStore,
  Layer,
  LayerStore,
  Lease,
  PartialBlob,
  PartialBlobs,
  Records,
  SnapshotStore,
  Storage,
  StoredImage,
} from "./contract.ts";
export { type ImportOptions, importRootfs } from "./import-rootfs.ts";
export { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from "./layer-store.ts";
export { type LoadedImage, type LoadOptions, loadArchive } from "./load-archive.ts";
export { encodeImageConfig, type NewImage } from "./new-image.ts";
export { mountOverlay, type OverlayView } from "./overlay-mount.ts";
export {
  type AreaUsage,
  checkSize,
  diskImage,
  type LimitedArea,
  mountDisk,
  type SizeLimit,
  SizeLimits,
} from "./quota.ts";
export { recoverImage } from "./quota-tools.ts";
export {
  type FileChange,
  type FileStat,
  RootFiles,
  type RootSource,
  type VolumeSource,
} from "./root-files.ts";
export { type SavedIndex, type SaveRequest, saveArchive } from "./save-archive.ts";
export { type OpenStorage, openStorage, type StorageOptions } from "./storage.ts";
export { StoragePaths } from "./storage-paths.ts";
export { type VerifiedItem, verifyItem, verifyStore } from "./verify-store.ts";
