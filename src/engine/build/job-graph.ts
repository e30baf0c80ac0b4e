// From a job's Dockerfile to its graphs, one a platform, with the images that they name looked up
// as vertices of their own; then what the checks have to say of the file.

import {
  type BuildGraph,
  type BuildPlan,
  checkEntitlements,
  type Dockerfile,
  type GraphStage,
  IgnoreMatcher,
  type ImageResolver,
  type LintRequest,
  type LintResult,
  lintDockerfile,
  lintViolation,
  makeGraphs,
  parseDockerfile,
  planBuild,
  type ResolvedImage,
  readIgnoreFile,
  shortFinding,
  unusedBuildArgs,
} from "../../build/index.ts";
import { formatReference, type Platform, parseReference, writePlatform } from "../../spec/index.ts";
import type { Lease, StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { hostPlatform } from "../images/find.ts";
import { findImage, resolved } from "./base-images.ts";
import { loadLayout } from "./contexts/index.ts";
import { refuseForeignRuns } from "./foreign-platform.ts";
import type { BuildJob, Material } from "./job.ts";
import type { IgnoreFile, JobContexts } from "./job-contexts.ts";
import type { JobFile } from "./job-file.ts";
import { pullReport } from "./pull-report.ts";
import type { BuildReport } from "./report.ts";

export interface JobGraphs {
  file: JobFile;
  ignore: IgnoreFile | undefined;
  /** One a platform, in the order of the job. */
  graphs: readonly BuildGraph[];
  images: JobImages;
}
interface GraphPlace {
  engine: EngineContext;
  lease: Lease;
  contexts: JobContexts;
  report: BuildReport;
  signal: AbortSignal;
  /** Another job's image, for one platform. */
  build(job: BuildJob, platform: Platform): Promise<ResolvedImage>;
}

/** Plans, resolves, checks. Throws invalid with the place in the Dockerfile. */
export async function makeJobGraphs(
  place: GraphPlace,
  job: BuildJob,
  file: JobFile,
): Promise<JobGraphs> {
  const dockerfile = parseDockerfile(file.bytes, file.name);
  const plans = plansOf(dockerfile, job);
  const images = new JobImages(place, job);
  const [graphs, ignore] = await Promise.all([
    makeGraphs(plans, images, { signal: place.signal }),
    file.ignore,
  ]);
  const unused = unusedBuildArgs(graphs[0]!.plan);
  if (unused) {
    const text = { short: unused.warning.replace(/^\[Warning\] /, ""), detail: [], url: "" };
    place.report.warn({ vertex: file.vertex, level: 1, ...text });
  }
  warn(place.report, file, lintOf(job, { ...file, ignore }, graphs));
  for (const graph of graphs) checkEntitlements(graph, job.entitlements);
  await refuseForeignRuns(graphs, place.engine.native);
  return { file, ignore, graphs, images };
}

function plansOf(file: Dockerfile, job: BuildJob): BuildPlan[] {
  return platformsOf(job).map((targetPlatform) =>
    planBuild(file, { ...planOptions(job), targetPlatform }),
  );
}

export function platformsOf({ platforms }: BuildJob): readonly Platform[] {
  return platforms.length > 0 ? platforms : [hostPlatform()];
}

export function planOptions(job: BuildJob) {
  return {
    buildArgs: job.buildArgs,
    ...(job.target && { target: job.target }),
    buildPlatform: hostPlatform(),
    namedContexts: [...job.contexts.keys()].filter((name) => !isOwn(job, name)),
  };
}

/** The main context and the one that the Dockerfile comes from have no name in the file. */
function isOwn({ dockerfile }: BuildJob, name: string): boolean {
  return name === "" || ("context" in dockerfile && dockerfile.context === name);
}

function lintOf(
  job: BuildJob,
  file: { name: string; bytes: Uint8Array; ignore: IgnoreFile | undefined },
  graphs: readonly BuildGraph[],
): LintResult {
  const [graph] = graphs;
  const bases = new Map<string, ResolvedImage>();
  for (const { planned, image } of graph?.stages ?? []) {
    if (image) bases.set(JSON.stringify(planned.base), image);
  }
  const request: LintRequest = {
    ...planOptions(job),
    ...(graph && { targetPlatform: graph.plan.targetPlatform }),
    baseOf: (source) => bases.get(JSON.stringify(source))?.document,
    ...(file.ignore && {
      ignore: new IgnoreMatcher(readIgnoreFile(file.ignore.bytes, file.ignore.name)),
    }),
  };
  return lintDockerfile(file.bytes, request, file.name);
}

/** Findings as warnings of the build; throws where the file says that they are errors. */
function warn(report: BuildReport, file: JobFile, result: LintResult): void {
  for (const finding of result.findings) {
    const { start, end } = finding.range;
    report.warn({
      ...{ vertex: file.vertex, level: 1, short: shortFinding(finding), url: finding.url },
      detail: [finding.description],
      source: {
        fileName: file.name,
        text: file.bytes,
        ranges: [{ start: start.line, end: end.line }],
      },
    });
  }
  const violation = lintViolation(result);
  if (violation) throw violation;
}

/** The images of a build, each as a vertex "[internal] load metadata for …". */
export class JobImages implements ImageResolver {
  readonly #place: GraphPlace;
  readonly #job: BuildJob;
  readonly #found = new Map<string, Promise<ResolvedImage>>();
  readonly #materials = new Map<string, Material>();
  readonly #digests = new Map<string, string>();

  constructor(place: GraphPlace, job: BuildJob) {
    this.#place = place;
    this.#job = job;
  }

  async image(reference: string, { platform }: { platform: Platform }): Promise<ResolvedImage> {
    const key = `${reference} ${writePlatform(platform)}`;
    const known = this.#found.get(key);
    if (known) return await known;
    const finding = this.#find(reference, platform);
    this.#found.set(key, finding);
    return await finding;
  }

  async context(
    name: string,
    { platform }: { platform: Platform },
  ): Promise<ResolvedImage | undefined> {
    const source = this.#place.contexts.source(name);
    if (source.kind === "image") {
      const reference = formatReference(parseReference(source.reference));
      return await this.image(reference, { platform });
    }
    if (source.kind === "build") return await this.#linked(name, source.job, platform);
    if (source.kind === "oci-layout") {
      const { engine, lease, signal } = this.#place;
      const image = await loadLayout(engine.storage, source, { platform, signal });
      return resolved({ lease }, image);
    }
    return undefined;
  }

  async #linked(name: string, job: BuildJob, platform: Platform): Promise<ResolvedImage> {
    const key = `${name}:${writePlatform(platform)}`;
    const building = this.#found.get(key) ?? this.#place.build(job, platform);
    this.#found.set(key, building);
    return await building;
  }

  async #find(reference: string, platform: Platform): Promise<ResolvedImage> {
    const { engine, lease, report, signal } = this.#place;
    const { pull, credentials } = this.#job;
    const several = this.#job.platforms.length > 1 ? `${writePlatform(platform)} ` : "";
    return await report.step(
      `[${several}internal] load metadata for ${reference}`,
      async (vertex) => {
        const o = { engine, lease, pull, credentials, tell: pullReport(vertex) };
        const image = await findImage(o, reference, { platform, signal });
        this.#note(reference, platform, image);
        return resolved({ lease }, image);
      },
    );
  }

  #note(reference: string, platform: Platform, image: StoredImage): void {
    const { registry, repository, tag } = parseReference(reference);
    const name = `${registry}/${repository}`;
    const digest = image.digests.find((one) => one.startsWith(`${name}@`))?.split("@")[1];
    if (digest) this.#digests.set(image.id, digest);
    const shown = registry === "docker.io" ? repository.replace(/^library\//, "") : name;
    const at = encodeURIComponent(writePlatform(platform));
    const uri = `pkg:docker/${shown}@${tag ?? digest ?? "latest"}?platform=${at}`;
    const [algorithm = "sha256", hex = ""] = (digest ?? image.id).split(":");
    this.#materials.set(uri, { uri, digest: { [algorithm]: hex } });
  }

  /** Images that went in. */
  materials(): Material[] {
    return [...this.#materials.values()];
  }

  /** "@sha256:…", for the progress; "" where the image came by none. */
  digestOf({ image, planned }: GraphStage): string {
    const digest = image && this.#digests.get(image.id);
    const written = planned.base.kind === "image" ? planned.base.reference : "";
    return digest && !written.includes("@") ? `@${digest}` : "";
  }
}
