// The media types that docker and OCI registries use for manifests, configs and layers.

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
export const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
const SCHEMA_1 = ["v1+json", "v1+prettyjws"].map(
  (type) => `application/vnd.docker.distribution.manifest.${type}`,
);

/** What is asked for when a manifest is fetched. */
export const MANIFEST_ACCEPT = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");

export function isIndex(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}
export function isSchema1(mediaType: string): boolean {
  return SCHEMA_1.includes(mediaType);
}
export function isImageConfig(mediaType: string): boolean {
  return [DOCKER_CONFIG, OCI_CONFIG, "application/octet-stream"].includes(mediaType);
}
/** Layers that registries do not hold; the manifest gives their URLs. */
export function isForeign(mediaType: string): boolean {
  return mediaType.includes(".foreign.") || mediaType.includes(".nondistributable.");
}
