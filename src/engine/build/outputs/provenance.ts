// Provenance of a build in SLSA's forms 0.2 and 1, with BuildKit's extensions of them
// (docs/attestations/slsa-definitions.md): what asked for it, what went in, and with mode=max every
// step and the Dockerfile. Values of build arguments and labels are told with mode=max only, as
// BuildKit does; values of secrets never come here.

import { GantryError } from "../../../base/index.ts";
import { PROXY_ARGS } from "../../../build/index.ts";
import { digestOf, writePlatform } from "../../../spec/index.ts";
import { hostPlatform } from "../../images/find.ts";
import type { BuildJob, BuiltImage, BuiltStep } from "../job.ts";
import {
  type AttestAttributes,
  type Attestation,
  type AttestPlace,
  checkFileName,
  flagOf,
} from "./attestations.ts";

const ATTRIBUTES = [
  ...["type", "mode", "builder-id", "filename", "reproducible", "inline-only", "version"],
  "disabled",
];
const BUILD_TYPE_02 = "https://mobyproject.org/buildkit@v1";
const BUILD_TYPE_1 =
  "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
const PREDICATES = {
  "v0.2": "https://slsa.dev/provenance/v0.2",
  v1: "https://slsa.dev/provenance/v1",
};
type Version = keyof typeof PREDICATES;

/** What is known of the build as a whole. */
export interface BuildFacts {
  startedAtMs: number;
  completedAtMs: number;
  dockerfile?: { name: string; text: Uint8Array } | undefined;
}

export function checkProvenance(attrs: AttestAttributes): void {
  for (const name of Object.keys(attrs)) {
    if (ATTRIBUTES.includes(name)) continue;
    const what = `attestation "provenance" has no attribute "${name}"`;
    throw new GantryError("invalid", `${what}: one of ${ATTRIBUTES.join(", ")}`);
  }
  modeOf(attrs);
  versionOf(attrs);
  checkFileName("provenance", attrs);
  for (const name of ["reproducible", "inline-only", "disabled"]) flagOf("provenance", attrs, name);
}

function modeOf({ mode = "min" }: AttestAttributes): "min" | "max" {
  if (mode === "min" || mode === "") return "min";
  if (mode === "max") return "max";
  throw new GantryError("invalid", `invalid mode "${mode}" of provenance: one of min, max`);
}

function versionOf({ version = "v0.2" }: AttestAttributes): Version {
  const known = Object.keys(PREDICATES).find((one) => one === version || one === `v${version}`);
  if (known !== undefined) return known as Version;
  throw new GantryError("invalid", `invalid provenance version "${version}": one of v0.2, v1`);
}

export function provenanceOf(
  { job, facts }: Pick<AttestPlace, "job" | "facts">,
  image: BuiltImage,
  attrs: AttestAttributes,
): Attestation {
  const version = versionOf(attrs);
  const told = { job, facts, image, attrs, isMax: modeOf(attrs) === "max" };
  return {
    predicateType: PREDICATES[version],
    predicate: version === "v1" ? predicate1(told) : predicate02(told),
    fileName: attrs["filename"] || "provenance.json",
    inlineOnly: flagOf("provenance", attrs, "inline-only"),
  };
}

interface Told {
  job: BuildJob;
  facts: BuildFacts;
  image: BuiltImage;
  attrs: AttestAttributes;
  isMax: boolean;
}

function predicate02({ job, facts, image, attrs, isMax }: Told): object {
  const { parameters, isComplete } = parametersOf(job, isMax);
  const source = sourceOf(job);
  return {
    builder: { id: attrs["builder-id"] ?? "" },
    buildType: BUILD_TYPE_02,
    materials: image.materials,
    invocation: {
      configSource: { ...source, entryPoint: dockerfileName(job) },
      parameters,
      environment: { platform: writePlatform(hostPlatform()) },
    },
    ...(isMax && { buildConfig: buildConfig(image.steps) }),
    metadata: {
      buildInvocationID: job.ref,
      buildStartedOn: timeOf(facts.startedAtMs),
      buildFinishedOn: timeOf(facts.completedAtMs),
      completeness: {
        ...{ parameters: isComplete, environment: true, materials: isHermetic(job) },
      },
      reproducible: flagOf("provenance", attrs, "reproducible"),
      [`${BUILD_TYPE_02}#hermetic`]: false,
      [`${BUILD_TYPE_02}#metadata`]: extra({ job, facts, image, attrs, isMax }),
    },
  };
}

function predicate1({ job, facts, image, attrs, isMax }: Told): object {
  const { parameters, isComplete } = parametersOf(job, isMax);
  const { uri, digest } = sourceOf(job);
  return {
    buildDefinition: {
      buildType: BUILD_TYPE_1,
      externalParameters: {
        configSource: { ...(uri && { uri }), ...(digest && { digest }), path: dockerfileName(job) },
        request: parameters,
      },
      internalParameters: {
        ...(isMax && { buildConfig: buildConfig(image.steps) }),
        builderPlatform: writePlatform(hostPlatform()),
      },
      resolvedDependencies: image.materials,
    },
    runDetails: {
      builder: { id: attrs["builder-id"] ?? "" },
      metadata: {
        invocationId: job.ref,
        startedOn: timeOf(facts.startedAtMs),
        finishedOn: timeOf(facts.completedAtMs),
        buildkit_metadata: extra({ job, facts, image, attrs, isMax }),
        buildkit_hermetic: false,
        buildkit_completeness: { request: isComplete, resolvedDependencies: isHermetic(job) },
        buildkit_reproducible: flagOf("provenance", attrs, "reproducible"),
      },
    },
  };
}

const timeOf = (ms: number): string => new Date(ms).toISOString();

/** Materials are complete when nothing came from the client's own folders. */
function isHermetic({ contexts }: BuildJob): boolean {
  return [...contexts.values()].every(({ kind }) =>
    ["git", "http", "image", "empty"].includes(kind),
  );
}

function dockerfileName({ dockerfile }: BuildJob): string {
  return "path" in dockerfile ? dockerfile.path : dockerfile.name;
}

/** Where the build came from, if not from a client's folder. */
function sourceOf({ contexts, vcs }: BuildJob): { uri?: string; digest?: object } {
  const main = contexts.get("");
  if (main?.kind !== "git" && main?.kind !== "http") return {};
  const uri = withoutUser(main.url);
  const revision = main.kind === "git" ? vcs?.["revision"] : undefined;
  return { uri, ...(revision && { digest: { sha1: revision } }) };
}

function vcsOf({ vcs = {} }: BuildJob): Record<string, string> | undefined {
  const entries = Object.entries(vcs).map(([name, value]) => [name, withoutUser(value)]);
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

/** Credentials of an address are nobody's business. */
function withoutUser(address: string): string {
  return address.replace(/^([a-z+]+:\/\/)[^/?#]*@/i, "$1");
}

function parametersOf(job: BuildJob, isMax: boolean): { parameters: object; isComplete: boolean } {
  const { buildArgs, labels, target, noCache, contexts, dockerfile, platforms } = job;
  const prefixed = (prefix: string, values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([name, value]): [string, string] => [`${prefix}${name}`, value]);
  // Proxies have passwords in their addresses.
  const own = Object.entries(buildArgs).filter(([name]) => !PROXY_ARGS.includes(name));
  const hidden = [
    ...prefixed("build-arg:", Object.fromEntries(own)),
    ...prefixed("label:", labels),
  ];
  const named = [...contexts].filter(([name]) => name !== "" && name !== "dockerfile");
  const skipped = noCache === true ? "" : noCache === false ? undefined : noCache.join(",");
  const args: Record<string, string | undefined> = {
    ...("path" in dockerfile && dockerfile.path !== "Dockerfile" && { filename: dockerfile.path }),
    ...(target && { target }),
    ...(platforms.length > 0 && { platform: platforms.map(writePlatform).join(",") }),
    ...(skipped !== undefined && { "no-cache": skipped }),
    ...Object.fromEntries(named.map(([name, { kind }]) => [`context:${name}`, kind])),
    ...Object.fromEntries(prefixed("vcs:", vcsOf(job) ?? {})),
    ...(isMax && Object.fromEntries(hidden)),
  };
  const locals = [...contexts]
    .filter(([, { kind }]) => kind === "session" || kind === "folder")
    .map(([name]) => ({ name: name === "" ? "context" : name }));
  const parameters = {
    frontend: "dockerfile.v0",
    args,
    ...(locals.length > 0 && { locals }),
  };
  return { parameters, isComplete: isMax || hidden.length === 0 };
}

/** The steps as BuildKit tells its operations, by their names instead of their code. */
function buildConfig(steps: readonly BuiltStep[]): object {
  const digestMapping = Object.fromEntries(steps.map(({ digest }, at) => [digest, `step${at}`]));
  const llbDefinition = steps.map(({ name, key }, at) => ({
    id: `step${at}`,
    op: { Op: null, constraints: {}, description: { "llb.customname": name, "gantry.key": key } },
    ...(at > 0 && { inputs: [`step${at - 1}:0`] }),
  }));
  return { llbDefinition, digestMapping };
}

/** BuildKit's own part: the Dockerfile, and which layers came of which step. */
function extra({ job, facts, image, isMax }: Told): object {
  const { dockerfile } = facts;
  const known = vcsOf(job);
  const vcs = known ? { vcs: known } : {};
  if (!isMax) return vcs;
  const layers = image.steps.flatMap(({ layer }, at) =>
    layer ? [[`step${at}:0`, [[{ digest: layer }]]]] : [],
  );
  return {
    ...vcs,
    ...(dockerfile && {
      source: {
        infos: [
          {
            filename: dockerfile.name,
            language: "Dockerfile",
            data: Buffer.from(dockerfile.text).toString("base64"),
            digest: digestOf(dockerfile.text),
          },
        ],
      },
    }),
    ...(layers.length > 0 && { layers: Object.fromEntries(layers) }),
  };
}
