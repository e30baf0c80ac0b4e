// The image config document (OCI image-spec config.md, and Docker's extensions of it). The image
// id is the digest of its raw bytes, so the raw bytes are kept; this type is for reading.

import type { ContainerConfig } from "./container.ts";

export interface ImageHistory {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}
export interface ImageConfigDocument {
  architecture: string;
  os: string;
  variant?: string;
  "os.version"?: string;
  "os.features"?: string[];
  created?: string;
  author?: string;
  comment?: string;
  docker_version?: string;
  container?: string;
  container_config?: ContainerConfig;
  config?: ContainerConfig;
  rootfs: { type: "layers"; diff_ids: string[] };
  history?: ImageHistory[];
}
