// Where everything is kept in the object store; nobody else makes a path. The layout is that of
// Docker's own registry, so that its folder can be served by us and given back:
//
//   docker/registry/v2/
//   ├── blobs/<algorithm>/<first two digits>/<digits>/data
//   ├── repositories/<name>/
//   │   ├── _layers/<algorithm>/<digits>/link               "this repository has the blob"
//   │   ├── _manifests/
//   │   │   ├── revisions/<algorithm>/<digits>/link         "this repository has the manifest"
//   │   │   └── tags/<tag>/
//   │   │       ├── current/link                            the tag's digest
//   │   │       └── index/<algorithm>/<digits>/link         what it ever was
//   │   ├── _uploads/<id>                                   an unfinished upload
//   │   └── _referrers/<algorithm>/<digits>/<algorithm>/<digits>/link
//   │                                                       ours: subject, then who refers to it
//   └── gantry/                                             ours
//       ├── collecting                                      one collector at a time
//       └── quarantine/<a path beneath v2>                  to be removed; who asks gets it back
//
// A link's content is the digest it stands for. Docker's registry looks only beneath blobs and
// repositories, and passes over folders that begin with "_" when it looks for repositories.

const root = "docker/registry/v2";
const ours = `${root}/gantry`;

export const blobsFolder = `${root}/blobs`;
export const repositoriesFolder = `${root}/repositories`;
export const quarantineFolder = `${ours}/quarantine`;
export const collectorLock = `${ours}/collecting`;

function split(digest: string): string {
  return digest.replace(":", "/");
}

export function blobPath(digest: string): string {
  const colon = digest.indexOf(":");
  const digits = digest.slice(colon + 1);
  return `${blobsFolder}/${digest.slice(0, colon)}/${digits.slice(0, 2)}/${digits}/data`;
}
export function repositoryFolder(name: string): string {
  return `${repositoriesFolder}/${name}`;
}
export function layersFolder(name: string): string {
  return `${repositoriesFolder}/${name}/_layers`;
}
export function layerLink(name: string, digest: string): string {
  return `${repositoriesFolder}/${name}/_layers/${split(digest)}/link`;
}
export function revisionsFolder(name: string): string {
  return `${repositoriesFolder}/${name}/_manifests/revisions`;
}
export function revisionLink(name: string, digest: string): string {
  return `${revisionsFolder(name)}/${split(digest)}/link`;
}
export function tagsFolder(name: string): string {
  return `${repositoriesFolder}/${name}/_manifests/tags`;
}
export function tagFolder(name: string, tag: string): string {
  return `${tagsFolder(name)}/${tag}`;
}
export function tagLink(name: string, tag: string): string {
  return `${tagFolder(name, tag)}/current/link`;
}
export function tagHistoryLink(name: string, tag: string, digest: string): string {
  return `${tagFolder(name, tag)}/index/${split(digest)}/link`;
}
export function referrersFolder(name: string, subject?: string): string {
  const folder = `${repositoriesFolder}/${name}/_referrers`;
  return subject === undefined ? folder : `${folder}/${split(subject)}`;
}
export function referrerLink(name: string, subject: string, digest: string): string {
  return `${referrersFolder(name, subject)}/${split(digest)}/link`;
}
export function uploadPath(name: string, id: string): string {
  return `${repositoriesFolder}/${name}/_uploads/${id}`;
}

/** Where an object waits before it is removed for good. */
export function quarantined(path: string): string {
  return `${quarantineFolder}/${path.slice(root.length + 1)}`;
}
export function fromQuarantine(path: string): string {
  return `${root}/${path.slice(quarantineFolder.length + 1)}`;
}

/** What an object is, from its path; undefined for what is not ours to judge. */
export type Kind =
  | { kind: "blob"; digest: string }
  | { kind: "layer" | "revision"; name: string; digest: string }
  | { kind: "tag"; name: string; tag: string }
  | { kind: "tag-history"; name: string; tag: string; digest: string }
  | { kind: "referrer"; name: string; subject: string; digest: string };

const HASH = "(sha256|sha512)/([0-9a-f]+)";
const BLOB = new RegExp(`^${blobsFolder}/(sha256|sha512)/[0-9a-f]{2}/([0-9a-f]+)/data$`);
const LINK = new RegExp(
  `^${repositoriesFolder}/(.+)/(_layers|_manifests/revisions|_manifests/tags|_referrers)/(.+)/link$`,
);
const ONE = new RegExp(`^${HASH}$`);
const TWO = new RegExp(`^${HASH}/${HASH}$`);
const HISTORY = new RegExp(`^([^/]+)/index/${HASH}$`);

export function kindOfPath(path: string): Kind | undefined {
  const blob = BLOB.exec(path);
  if (blob !== null) return { kind: "blob", digest: `${blob[1]}:${blob[2]}` };
  const link = LINK.exec(path);
  if (link === null) return undefined;
  const [, name = "", folder, rest = ""] = link;
  const one = ONE.exec(rest);
  if (folder === "_layers" && one) return { kind: "layer", name, digest: `${one[1]}:${one[2]}` };
  if (folder === "_manifests/revisions" && one) {
    return { kind: "revision", name, digest: `${one[1]}:${one[2]}` };
  }
  if (folder === "_manifests/tags") return tagKind(name, rest);
  const two = TWO.exec(rest);
  if (folder !== "_referrers" || two === null) return undefined;
  return {
    kind: "referrer",
    name,
    subject: `${two[1]}:${two[2]}`,
    digest: `${two[3]}:${two[4]}`,
  };
}

function tagKind(name: string, rest: string): Kind | undefined {
  if (rest.endsWith("/current")) return { kind: "tag", name, tag: rest.slice(0, -8) };
  const history = HISTORY.exec(rest);
  if (history === null) return undefined;
  const [, tag = "", algorithm, digits] = history;
  return { kind: "tag-history", name, tag, digest: `${algorithm}:${digits}` };
}

/** The name of the repository and the id of an unfinished upload, from its path. */
export function uploadOfPath(path: string): { name: string; id: string } | undefined {
  const found = new RegExp(`^${repositoriesFolder}/(.+)/_uploads/([^/]+)$`).exec(path);
  return found === null ? undefined : { name: found[1]!, id: found[2]! };
}
