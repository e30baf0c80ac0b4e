// Images as dockerd shows them: GET /images/{name}/json and rows of GET /images/json.

import type { Image, ImageManifest } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import type { ContainerConfig, ImageConfigDocument } from "../../spec/index.ts";
import { renderContainerConfig } from "./container-config.ts";

const NEVER = "0001-01-01T00:00:00Z";
/** Fields of the container config that an image's config always showed until API 1.49 … */
const CONFIG_UNTIL_1_49: ContainerConfig = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};
/** Committed images have more of it on record: what is a container's own was never shown. */
const CONTAINERS_OWN = new Set([
  ...["Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin"],
  ...["StdinOnce", "Image", "NetworkDisabled", "MacAddress", "StopTimeout"],
]);
/** … and until 1.51. */
const CONFIG_UNTIL_1_51: ContainerConfig = {
  User: "",
  Env: null,
  Cmd: null,
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};

export function renderImageInspect(image: Image, version: ApiVersion): Record<string, unknown> {
  const { config } = image;
  const old = version.below("1.52");
  const author = config.author ?? "";
  return {
    Id: image.id,
    RepoTags: image.repoTags,
    RepoDigests: image.repoDigests,
    ...(old || image.parent !== "" ? { Parent: image.parent } : {}),
    ...(old || image.comment !== "" ? { Comment: image.comment } : {}),
    Created: config.created ?? (version.below("1.44") ? NEVER : undefined),
    ...(version.below("1.45")
      ? { Container: config.container ?? "", ContainerConfig: oldConfig(config, version) }
      : {}),
    ...(old || config.docker_version ? { DockerVersion: config.docker_version ?? "" } : {}),
    ...(old || author !== "" ? { Author: author } : {}),
    Config: imageConfig(config.config, version),
    Architecture: config.architecture,
    ...(config.variant ? { Variant: config.variant } : {}),
    Os: config.os,
    ...(config["os.version"] ? { OsVersion: config["os.version"] } : {}),
    Size: image.size,
    ...(version.below("1.44") ? { VirtualSize: image.size } : {}),
    ...(old ? { GraphDriver: { Data: null, Name: "overlay2" } } : {}),
    RootFS: { Type: "layers", Layers: image.layers },
    Metadata: { LastTagTime: image.lastTagTime || NEVER },
    ...(image.manifest && version.atLeast("1.48") ? { Descriptor: image.manifest } : {}),
    ...(image.manifests && { Manifests: image.manifests.map(renderManifest) }),
  };
}

/** The container that the image was committed from; old clients expect an object. */
function oldConfig(config: ImageConfigDocument, version: ApiVersion): ContainerConfig {
  return renderContainerConfig(config.container_config ?? {}, version);
}

function imageConfig(
  config: ContainerConfig | undefined,
  version: ApiVersion,
): Record<string, unknown> {
  const shown: Record<string, unknown> = version.below("1.50")
    ? { ...CONFIG_UNTIL_1_49 }
    : version.below("1.52")
      ? { ...CONFIG_UNTIL_1_51 }
      : {};
  for (const [field, value] of Object.entries(config ?? {})) {
    if (CONTAINERS_OWN.has(field)) continue;
    if (value !== null && value !== undefined && value !== "" && value !== false) {
      shown[field] = value;
    }
  }
  return shown;
}

export function renderImageSummary(image: Image, version: ApiVersion): Record<string, unknown> {
  const nameless = image.repoTags.length === 0 && image.repoDigests.length === 0;
  const none = nameless && version.below("1.43");
  return {
    Containers: version.below("1.51") ? -1 : image.containers,
    Created: secondsOf(image.created),
    Id: image.id,
    Labels: image.config.config?.Labels ?? null,
    ParentId: image.parent,
    RepoDigests: none ? ["<none>@<none>"] : image.repoDigests,
    RepoTags: none ? ["<none>:<none>"] : image.repoTags,
    SharedSize: image.sharedSize,
    Size: image.size,
    ...(version.below("1.44") ? { VirtualSize: image.size } : {}),
    ...(image.manifest && version.atLeast("1.48") ? { Descriptor: image.manifest } : {}),
    ...(image.manifests && { Manifests: image.manifests.map(renderManifest) }),
  };
}

function renderManifest(manifest: ImageManifest): Record<string, unknown> {
  const { descriptor, contentBytes: Content, unpackedBytes: Unpacked } = manifest;
  const { platform: Platform, containers: Containers } = manifest;
  return {
    ...{ ID: descriptor.digest, Descriptor: descriptor, Available: manifest.isHere },
    Size: { Content, Total: Content + Unpacked },
    Kind: manifest.kind,
    ...(manifest.kind === "attestation"
      ? { AttestationData: { For: manifest.about ?? "" } }
      : { ImageData: { Platform, Containers, Size: { Unpacked } } }),
  };
}

function secondsOf(created: string): number {
  const milliseconds = Date.parse(created);
  return Number.isNaN(milliseconds) ? 0 : Math.floor(milliseconds / 1000);
}
