export {
  type AnyManifest,
  copyManifest,
  type FullDescriptor,
  fetchAny,
  isIndexType,
  putAny,
  type RepositoryPlace,
  readAnyManifest,
  readDescriptor,
} from "./any-manifest.ts";
export { systemRoots } from "./certificates.ts";
export type {
  Credentials,
  DistributionOptions,
  Message,
  MirrorRule,
  ProxySettings,
  RegistryRule,
  Tell,
} from "./contract.ts";
export { isBroken } from "./download.ts";
export { dropBody } from "./http-exchange.ts";
export { inspectRemote, type RemoteImage } from "./inspect.ts";
export { checkLogin } from "./login.ts";
export { type ImageSeen, lookAtImage } from "./look.ts";
export { messagesOf } from "./messages.ts";
export { maskProxy, proxiesOfEnvironment } from "./proxy-rules.ts";
export { type PulledDocument, type PulledImage, type PullStore, pullImages } from "./pull.ts";
export {
  listedManifests,
  noSuchTag,
  type PushedArtifact,
  type PushedIndex,
  type PushImage,
  pushImage,
  pushIndex,
} from "./push.ts";
export { type PushedBlobs, pushBlobs } from "./push-blobs.ts";
export type { BlobPlace, PushStore } from "./push-layer.ts";
export { listReferrers, type Referrer } from "./referrers.ts";
export { Registries } from "./registries.ts";
export {
  copyWithin,
  type FullPlatform,
  fetchManifest,
  fullPlatform,
  platformOf,
  putList,
  type RemoteManifest,
} from "./remote-manifest.ts";
export { type SearchResult, searchImages } from "./search.ts";
export { fetchBlob, fetchDocument, type RemoteItem, verifyRemote } from "./verify-remote.ts";
