export type * from "./container.ts";
export { algorithmOf, chainIds, digestOf, hexOf, isDigest, parseDigest } from "./digest.ts";
export type { ImageConfigDocument, ImageHistory } from "./image-config.ts";
export type { DiskImage, IdMaps, RootfsMount } from "./mount.ts";
export type * from "./oci-runtime.ts";
export { normalizePlatform, type Platform, readPlatform, writePlatform } from "./platform.ts";
export {
  familiarName,
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
} from "./reference.ts";
