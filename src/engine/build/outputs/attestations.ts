// Attestations of a build: what it was made of (provenance) and what is in it (SBOM), as in-toto
// statements. Each is made once a platform, whatever outputs there are.

import { GantryError, parseBool } from "../../../base/index.ts";
import type { EngineContext } from "../../context.ts";
import type { BuildJob, BuildReporter, BuiltImage } from "../job.ts";
import type { Statement } from "./manifests.ts";
import { type BuildFacts, checkProvenance, provenanceOf } from "./provenance.ts";
import { checkSbom, sbomOf } from "./sbom.ts";

const STATEMENT = "https://in-toto.io/Statement/v0.1";

/** A statement without what it is about. */
export interface Attestation {
  predicateType: string;
  predicate: object;
  /** For outputs of files. */
  fileName: string;
  /** Goes along with images only, and makes no index of one that stays in the image store. */
  inlineOnly: boolean;
}
export type AttestAttributes = Readonly<Record<string, string>>;

/** Throws for what no attestation is made of. */
export function checkAttestations({ attest }: Pick<BuildJob, "attest">): void {
  for (const [type, attrs] of attest) {
    if (type === "provenance") checkProvenance(attrs);
    else if (type === "sbom") checkSbom(attrs);
    else {
      const message = `attestation type "${type}" is not supported: one of provenance, sbom`;
      throw new GantryError("invalid", message);
    }
  }
}

/** A flag of an attestation; throws invalid for what is none. */
export function flagOf(type: string, attrs: AttestAttributes, name: string): boolean {
  const text = attrs[name];
  if (text === undefined || text === "") return text === "";
  try {
    return parseBool(text);
  } catch (cause) {
    const message = `attestation "${type}": non-bool value specified for ${name}: ${text}`;
    throw new GantryError("invalid", message, { cause });
  }
}

/** A name beneath the output's folder, nothing that leads elsewhere. */
export function checkFileName(type: string, { filename = "" }: AttestAttributes): void {
  if (!/[/\0]/.test(filename) && filename !== "." && filename !== "..") return;
  const message = `attestation "${type}": filename ${filename} is no name of a file`;
  throw new GantryError("invalid", message);
}

export interface AttestPlace {
  engine: EngineContext;
  job: BuildJob;
  reporter: BuildReporter;
  facts: BuildFacts;
  signal: AbortSignal;
}

export class Attestations {
  readonly #place: AttestPlace;
  readonly #made = new Map<BuiltImage, Promise<Attestation[]>>();

  constructor(place: AttestPlace) {
    this.#place = place;
  }

  /** The same ones each time. */
  of(image: BuiltImage): Promise<Attestation[]> {
    let made = this.#made.get(image);
    if (made === undefined) {
      made = this.#make(image);
      this.#made.set(image, made);
    }
    return made;
  }

  async #make(image: BuiltImage): Promise<Attestation[]> {
    const { attest } = this.#place.job;
    const made: Attestation[] = [];
    const sbom = attest.get("sbom");
    if (sbom && !flagOf("sbom", sbom, "disabled")) made.push(await sbomOf(this.#place, image));
    const provenance = attest.get("provenance");
    if (provenance && !flagOf("provenance", provenance, "disabled")) {
      made.push(provenanceOf(this.#place, image, provenance));
    }
    return made;
  }
}

/** Whole statements about `subjects`, in the order of the attestations. */
export function statementsAbout(
  subjects: readonly object[],
  attestations: readonly Attestation[],
): Statement[] {
  return attestations.map(({ predicateType, predicate }) => ({
    predicateType,
    raw: Buffer.from(
      JSON.stringify(
        { _type: STATEMENT, predicateType, subject: subjects, predicate },
        undefined,
        2,
      ),
    ),
  }));
}
