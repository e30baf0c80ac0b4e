// What the manifest commands share: reading an image of a registry into a list's entry, and a list
// as the document that registries take.

import { GantryError, kindOf } from "../../../base/index.ts";
import {
  type FullPlatform,
  fetchManifest,
  platformOf,
  type RemoteManifest,
} from "../../../distribution/index.ts";
import { formatReference, type Reference } from "../../../spec/index.ts";
import { registryOf } from "../../config/registry-access.ts";
import type { Session } from "../../session.ts";
import type { ListEntry } from "./list-store.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const INSECURE_USAGE = "Allow communication with an insecure registry";

/** Fetches what a reference names; "no such manifest" in docker's words. */
export async function remoteManifest(
  session: Session,
  reference: Reference,
  insecure: boolean,
): Promise<{ registry: Awaited<ReturnType<typeof registryOf>>; remote: RemoteManifest }> {
  const registry = await registryOf(session, reference, { insecure });
  const remote = await fetchManifest(registry, reference).catch((error: unknown) => {
    if (kindOf(error) !== "not-found") throw error;
    throw new GantryError("not-found", `no such manifest: ${shown(reference)}`, { cause: error });
  });
  return { registry, remote };
}

/** Docker's client says names whole only where they are not Docker Hub's. */
export function shown(reference: Reference): string {
  return formatReference(reference);
}

/** An image of a registry as an entry; undefined when it is a list itself. */
export async function imageEntry(
  session: Session,
  reference: Reference,
  insecure: boolean,
): Promise<ListEntry | undefined> {
  const { registry, remote } = await remoteManifest(session, reference, insecure);
  const { parsed } = remote;
  if (parsed.kind !== "image") return undefined;
  const platform = await platformOf(registry, reference.repository, parsed.config);
  return entryOf(reference, remote, platform);
}

export function entryOf(
  reference: Reference,
  { raw, digest, parsed }: RemoteManifest,
  platform: FullPlatform,
): ListEntry {
  const document = JSON.parse(raw.toString("utf8")) as object;
  const isOci = parsed.mediaType === OCI_MANIFEST;
  return {
    Ref: formatReference(reference),
    Descriptor: { mediaType: parsed.mediaType, digest, size: raw.length, platform },
    Raw: raw.toString("base64"),
    ...(isOci ? { OCIManifest: document } : { SchemaV2Manifest: document }),
  };
}

type ListMember = Pick<ListEntry, "Descriptor">;

/** The document of a list, byte by byte as docker writes it: an index as soon as one image is an
 * OCI one. */
export function listDocument(entries: readonly ListMember[]): { raw: Buffer; mediaType: string } {
  const isOci = entries.some(({ Descriptor }) => Descriptor.mediaType === OCI_MANIFEST);
  const mediaType = isOci ? OCI_INDEX : DOCKER_LIST;
  const manifests = entries.map(({ Descriptor: { mediaType: type, size, digest, platform } }) => ({
    mediaType: type,
    size,
    digest,
    platform,
  }));
  const document = { schemaVersion: 2, mediaType, manifests };
  return { raw: Buffer.from(JSON.stringify(document, undefined, 3)), mediaType };
}

/** What images are made for; docker's client takes no other platform into a list. */
const ARCHITECTURES: Record<string, string> = {
  linux: "386 amd64 arm arm64 loong64 mips64 mips64le ppc64le riscv64 s390x",
  windows: "386 amd64 arm arm64",
  darwin: "386 amd64 arm arm64",
  freebsd: "386 amd64 arm arm64",
  netbsd: "386 amd64 arm",
  openbsd: "386 amd64 arm",
  dragonfly: "amd64",
  plan9: "386 amd64",
  solaris: "amd64",
};

export function isKnownPlatform({ os, architecture }: FullPlatform): boolean {
  return (ARCHITECTURES[os] ?? "").split(" ").includes(architecture) && architecture !== "";
}
