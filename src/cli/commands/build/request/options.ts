// The flags of `build` as one value that knows nothing of flags; bake's targets become the same.
// What no build can do is refused here, and what has no effect is warned of. Pure.

import { GantryError, type ParsedValues } from "../../../../base/index.ts";
import type { BUILD_FLAGS, SHARED_FLAGS } from "./flags.ts";
import { PROGRESS_MODES } from "./flags.ts";
import {
  addAttestation,
  attestationShorthand,
  type CacheSpec,
  type CallSpec,
  invalid,
  type OutputSpec,
  parseAnnotation,
  parseCache,
  parseCall,
  parseOutput,
  parseSecret,
  parseSsh,
  type SecretSpec,
  type SshSpec,
} from "./specs.ts";

/** Limits of the steps, named as in the API's HostConfig. */
export interface StepLimits {
  Memory?: number;
  MemorySwap?: number;
  CpuShares?: number;
  CpuPeriod?: number;
  CpuQuota?: number;
  CpusetCpus?: string;
  CpusetMems?: string;
}

export interface BuildOptions {
  /** A folder, a URL or "-". */
  context: string;
  /** As -f has it; "" for the usual name. */
  file: string;
  /** The Dockerfile's text (bake's dockerfile-inline). */
  dockerfileInline?: string | undefined;
  namedContexts: Readonly<Record<string, string>>;
  tags: readonly string[];
  labels: Readonly<Record<string, string>>;
  buildArgs: Readonly<Record<string, string>>;
  target: string;
  platforms: readonly string[];
  pull: boolean;
  noCache: boolean;
  noCacheFilter: readonly string[];
  network: string;
  /** "name=address" */
  addHosts: readonly string[];
  shmSize: number;
  ulimits: readonly string[];
  cgroupParent: string;
  limits: StepLimits;
  allow: readonly string[];
  secrets: readonly SecretSpec[];
  ssh: readonly SshSpec[];
  cacheFrom: readonly CacheSpec[];
  cacheTo: readonly CacheSpec[];
  outputs: readonly OutputSpec[];
  attestations: ReadonlyMap<string, string | undefined>;
  call?: CallSpec | undefined;
  explain: boolean;
  debug: boolean;
}

type BuildValues = ParsedValues<typeof BUILD_FLAGS>;
export type SharedValues = ParsedValues<typeof SHARED_FLAGS>;
type Environment = Readonly<Record<string, string | undefined>>;

/** What of the flags is for the caller of a build. */
export interface BuildCall {
  options: BuildOptions;
  warnings: string[];
}

/** Throws "invalid" or "not-implemented" in the words that docker's users know. */
export function buildOptions(
  values: BuildValues,
  context: string,
  environment: Environment,
): BuildCall {
  const warnings = checkClassic(values);
  checkShared(values);
  if (values.check && values.call !== "build" && parseCall(values.call)?.name !== "lint") {
    throw invalid("cannot use --check together with another --call");
  }
  const attestations = new Map<string, string | undefined>();
  for (const text of values.attest) addAttestation(attestations, text);
  for (const type of ["provenance", "sbom"] as const) {
    if (values[type] !== "") addAttestation(attestations, attestationShorthand(type, values[type]));
  }
  const options: BuildOptions = {
    context,
    file: values.file,
    namedContexts: namedContexts(values["build-context"]),
    tags: values.tag,
    labels: pairs(values.label, () => ""),
    buildArgs: withEpoch(
      pairs(values["build-arg"], (name) => environment[name]),
      environment,
    ),
    target: values.target,
    platforms: platformsOf(values.platform, environment),
    pull: values.pull,
    noCache: values["no-cache"],
    noCacheFilter: values["no-cache-filter"],
    network: values.network,
    addHosts: values["add-host"].map(extraHost),
    shmSize: values["shm-size"],
    ulimits: values.ulimit,
    cgroupParent: values["cgroup-parent"],
    limits: limitsOf(values),
    allow: values.allow,
    secrets: values.secret.map(parseSecret),
    ssh: values.ssh.map(parseSsh),
    cacheFrom: values["cache-from"].map(parseCache),
    cacheTo: values["cache-to"].map(parseCache),
    outputs: withAnnotations(
      withShorthands(values.output.map(parseOutput), values),
      values.annotation,
    ),
    attestations,
    call: parseCall(values.check ? "check" : values.call),
    explain: values.explain,
    debug: values.debug,
  };
  if (options.noCache && options.noCacheFilter.length > 0) {
    throw invalid("--no-cache and --no-cache-filter cannot currently be used together");
  }
  return { options, warnings };
}

/** What build and bake refuse alike. */
export function checkShared(values: SharedValues): void {
  if (!(PROGRESS_MODES as readonly string[]).includes(values.progress)) {
    throw invalid(`invalid progress mode ${values.progress}`);
  }
  if (values.builder !== "" && values.builder !== "default") {
    throw new GantryError("not-found", `no builder ${JSON.stringify(values.builder)} found`);
  }
  if (values.policy.length > 0) {
    throw new GantryError("not-implemented", "--policy is not supported: Gantry has no policies");
  }
}

function checkClassic(values: BuildValues): string[] {
  if (values.squash) {
    throw new GantryError(
      "not-implemented",
      "squash is not supported: use a stage FROM scratch with COPY --from",
    );
  }
  if (values.isolation !== "" && values.isolation !== "default") {
    throw invalid(`invalid isolation ${JSON.stringify(values.isolation)}: only default is known`);
  }
  if (values["security-opt"].length > 0) {
    throw new GantryError(
      "not-implemented",
      "--security-opt is not supported: use RUN --security=insecure with --allow security.insecure",
    );
  }
  if (values.resource.length > 0) {
    throw new GantryError(
      "not-implemented",
      "--resource is not supported: use --memory and --cpu-*",
    );
  }
  const warnings: string[] = [];
  if (values.compress) warnings.push("WARNING: --compress has no effect: only changes are sent");
  if (!values.rm) warnings.push("WARNING: --rm=false keeps nothing: steps leave no containers");
  return warnings;
}

/** --push and --load beside --output, as buildx joins them. */
export function withShorthands(
  given: readonly OutputSpec[],
  { push, load }: { push: boolean; load: boolean },
): OutputSpec[] {
  const outputs = given.map((one) => ({ ...one, attrs: { ...one.attrs } }));
  if (push) {
    const images = outputs.filter(({ type }) => type === "image");
    for (const one of images) one.attrs["push"] = "true";
    if (images.length === 0) outputs.push({ type: "image", attrs: { push: "true" } });
  }
  if (load && !outputs.some(({ type, dest }) => type === "docker" && dest === undefined)) {
    outputs.push({ type: "docker", attrs: {} });
  }
  return outputs;
}

/** Annotations belong to the outputs that are images. */
export function withAnnotations(
  given: readonly OutputSpec[],
  annotations: readonly string[],
): OutputSpec[] {
  if (annotations.length === 0) return [...given];
  const attrs: Record<string, string> = {};
  for (const text of annotations) Object.assign(attrs, parseAnnotation(text));
  const outputs = given.length === 0 ? [{ type: "image", attrs: {} }] : given;
  if (!outputs.some(isImage)) {
    throw invalid("--annotation needs an output that is an image (image, registry, docker, oci)");
  }
  return outputs.map((one) => (isImage(one) ? { ...one, attrs: { ...one.attrs, ...attrs } } : one));
}

function isImage({ type }: OutputSpec): boolean {
  return type === "image" || type === "docker" || type === "oci";
}

function pairs(
  given: readonly string[],
  missing: (name: string) => string | undefined,
): Record<string, string> {
  const out: Record<string, string> = {};
  for (const text of given) {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    if (name === "") throw invalid(`invalid key-value pair ${JSON.stringify(text)}: empty key`);
    const value = equals < 0 ? missing(name) : text.slice(equals + 1);
    if (value !== undefined) out[name] = value;
  }
  return out;
}

function namedContexts(given: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const text of given) {
    const equals = text.indexOf("=");
    if (equals < 0) {
      throw invalid(`invalid context value: ${text}, expected key=value`);
    }
    out[contextName(text.slice(0, equals))] = text.slice(equals + 1);
  }
  return out;
}

/** A context's name as FROM and COPY --from find it: image names without what is implied. */
function contextName(name: string): string {
  if (name === "") throw invalid("invalid context name: it is empty");
  return name.replace(/^docker\.io\/(library\/)?/, "").replace(/:latest$/, "");
}

/** The time of reproducible builds comes from the environment, as with buildx. */
export function withEpoch(
  args: Readonly<Record<string, string>>,
  environment: Environment,
): Record<string, string> {
  const epoch = environment["SOURCE_DATE_EPOCH"];
  return epoch ? { SOURCE_DATE_EPOCH: epoch, ...args } : { ...args };
}

export function platformsOf(given: readonly string[], environment: Environment): string[] {
  const all = given.length > 0 ? given : [environment["DOCKER_DEFAULT_PLATFORM"] ?? ""];
  const split = all.flatMap((text) => text.split(",")).map((text) => text.trim());
  return [...new Set(split.filter((text) => text !== ""))];
}

/** "host:ip" or "host=ip" → "host=ip". */
export function extraHost(text: string): string {
  const separator = text.includes("=") ? text.indexOf("=") : text.indexOf(":");
  const name = text.slice(0, separator);
  const address = text.slice(separator + 1).replace(/^\[(.*)\]$/, "$1");
  if (separator <= 0 || address === "") throw invalid(`bad format for add-host: "${text}"`);
  return `${name}=${address}`;
}

function limitsOf(values: BuildValues): StepLimits {
  const limits: StepLimits = {};
  if (values.memory !== 0) limits.Memory = values.memory;
  if (values["memory-swap"] !== 0) limits.MemorySwap = values["memory-swap"];
  if (values["cpu-shares"] !== 0) limits.CpuShares = values["cpu-shares"];
  if (values["cpu-period"] !== 0) limits.CpuPeriod = values["cpu-period"];
  if (values["cpu-quota"] !== 0) limits.CpuQuota = values["cpu-quota"];
  if (values["cpuset-cpus"] !== "") limits.CpusetCpus = values["cpuset-cpus"];
  if (values["cpuset-mems"] !== "") limits.CpusetMems = values["cpuset-mems"];
  return limits;
}
