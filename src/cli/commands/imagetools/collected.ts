// An image of a registry with all that is known of it there: its manifest, the configs of its
// platforms, and its attestations, which lie beside each image in the index.

import {
  type AnyManifest,
  type FullDescriptor,
  fetchAny,
  isIndexType,
} from "../../../distribution/index.ts";
import { formatReference, type Reference } from "../../../spec/index.ts";
import { platformText } from "./combine.ts";
import type { Places } from "./places.ts";

const REFERENCE_TYPE = "vnd.docker.reference.type";
const REFERENCE_DIGEST = "vnd.docker.reference.digest";
const PREDICATE_TYPE = "in-toto.io/predicate-type";
const SPDX = "https://spdx.dev/Document";
const PROVENANCE = "https://slsa.dev/provenance/";
const STATEMENT_BYTES_MAX = 64 * 1024 * 1024;

export interface Collected {
  name: string;
  manifest: AnyManifest;
  /** By platform ("linux/amd64"), in the order of the index. */
  platforms: Map<string, PlatformParts>;
}
export interface PlatformParts {
  config?: Record<string, unknown>;
  sbom: readonly unknown[];
  provenance?: unknown;
}

export async function collect(
  places: Places,
  reference: Reference,
  manifest: AnyManifest,
): Promise<Collected> {
  const name = formatReference(reference);
  const platforms = new Map<string, PlatformParts>();
  if (!isIndexType(manifest.mediaType)) {
    const config = await places.config(reference, manifest);
    if (config) platforms.set(platformText(configPlatform(config)), { config, sbom: [] });
    return { name, manifest, platforms };
  }
  for (const entry of manifest.manifests) {
    if (isAttestation(entry)) continue;
    const child = await fetchAny(await places.of(reference), entry.digest);
    const config = await places.config(reference, child);
    const platform = entry.platform ?? (config && configPlatform(config));
    if (!platform) continue;
    const beside = manifest.manifests.filter(
      (one) => isAttestation(one) && one.annotations?.[REFERENCE_DIGEST] === entry.digest,
    );
    const statements = await statementsOf(places, reference, beside);
    platforms.set(platformText(platform), { ...(config && { config }), ...statements });
  }
  return { name, manifest, platforms };
}

const isAttestation = ({ annotations }: FullDescriptor): boolean =>
  annotations?.[REFERENCE_TYPE] === "attestation-manifest";

function configPlatform(config: Record<string, unknown>) {
  const text = (key: string): string => (typeof config[key] === "string" ? config[key] : "");
  const variant = text("variant");
  return { os: text("os"), architecture: text("architecture"), ...(variant && { variant }) };
}

async function statementsOf(
  places: Places,
  reference: Reference,
  manifests: readonly FullDescriptor[],
): Promise<Pick<PlatformParts, "sbom" | "provenance">> {
  const place = await places.of(reference);
  const sbom: unknown[] = [];
  let provenance: unknown;
  for (const { digest } of manifests) {
    for (const layer of (await fetchAny(place, digest)).layers) {
      const type = layer.annotations?.[PREDICATE_TYPE] ?? "";
      const isWanted = type === SPDX || type.startsWith(PROVENANCE);
      if (!isWanted || layer.size > STATEMENT_BYTES_MAX) continue;
      const raw = await place.registry.smallBlob(place.repository, layer);
      const { predicate } = JSON.parse(raw.toString("utf8")) as { predicate?: unknown };
      if (type === SPDX) sbom.push(predicate);
      else provenance ??= predicate;
    }
  }
  return { sbom, ...(provenance !== undefined && { provenance }) };
}
