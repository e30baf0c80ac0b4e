// From a planned Dockerfile to a graph of operations: each stage evaluated on its base, each step
// that makes files a vertex, its inputs other vertices, known file systems or contexts. Config
// instructions are no vertices. Only what the target needs is looked at; base images are resolved
// side by side.

import { GantryError } from "../base/index.ts";
import type { FileSource, ImageResolver, ResolvedImage, Root, RunRequest } from "./contract.ts";
import { errorAt } from "./language/dockerfile-error.ts";
import { evaluateStage, type StageBase } from "./language/evaluate-stage.ts";
import { type BuildPlan, type PlannedStage, type Source, withTriggers } from "./language/plan.ts";
import type { RunMount } from "./language/run-mount.ts";
import type {
  AddStep,
  CopyOptions,
  CopyPath,
  CopyStep,
  EvaluatedStage,
  RunStep,
  Step,
} from "./language/steps.ts";
import { didYouMean } from "./language/suggest.ts";

/** What an operation reads: the outcome of another one, or files that are there. */
export type Input = FileSource | { kind: "vertex"; vertex: Vertex };

export interface RunOperation
  extends Pick<
    RunRequest,
    "args" | "env" | "user" | "workingDir" | "network" | "security" | "script"
  > {
  kind: "run";
  /** Not part of what the result depends on. */
  proxyEnv: readonly string[];
  mounts: readonly { mount: RunMount; from: Input }[];
}
export interface Download {
  url: string;
  fileName: string;
  checksum?: string;
}
export interface CopyOperation extends CopyOptions {
  kind: "copy";
  sources: readonly { from: Input | { kind: "download"; download: Download }; paths: CopyPath[] }[];
  parents: boolean;
  unpack: boolean;
}
export interface FolderOperation {
  kind: "folder";
  path: string;
  user: string;
}
export type Operation = RunOperation | CopyOperation | FolderOperation;

/** An operation on a file system. */
export interface Vertex {
  /** The order of the file: an operation depends on earlier ones only. */
  index: number;
  /** As progress shows it: "[build 2/5] RUN npm ci". */
  label: string;
  base: Input;
  operation: Operation;
}

export interface GraphStep {
  step: Step;
  /** Absent: only the config changes. */
  vertex?: Vertex;
}
export interface GraphStage {
  planned: PlannedStage;
  evaluated: EvaluatedStage;
  /** What the stage begins with. */
  base: Input;
  /** When the base is an image. */
  image?: ResolvedImage;
  /** How many triggers of the base image come first. */
  triggers: number;
  steps: GraphStep[];
  /** The file system at its end. */
  top: Input;
}
export interface BuildGraph {
  plan: BuildPlan;
  /** The needed stages, in the order of the file. */
  stages: GraphStage[];
  target: GraphStage;
}

const SCRATCH: Input = { kind: "root", root: { layers: [] } };

/** Resolves the images that the plan names and makes its graph. */
export async function makeGraph(
  plan: BuildPlan,
  resolver: ImageResolver,
  { signal }: { signal: AbortSignal },
): Promise<BuildGraph> {
  const images = new Images(resolver, signal);
  const triggered = await withImageTriggers(plan, images);
  await images.all(triggered, triggered.needed);
  return new GraphMaker(triggered, images).make();
}

/** Base images bring ONBUILD triggers, and these may need further stages. */
async function withImageTriggers(start: BuildPlan, images: Images): Promise<BuildPlan> {
  let plan = start;
  const done = new Set<number>();
  for (;;) {
    const open = plan.needed.filter((index) => !done.has(index));
    if (open.length === 0) return plan;
    const bases = await Promise.all(open.map((index) => images.base(plan.stages[index]!, plan)));
    for (const [at, index] of open.entries()) {
      done.add(index);
      plan = withTriggers(plan, index, bases[at]?.document.config?.OnBuild ?? []);
    }
  }
}

/** Every image once, however many steps name it. */
class Images {
  readonly #resolver: ImageResolver;
  readonly #signal: AbortSignal;
  readonly #found = new Map<string, Promise<ResolvedImage>>();
  readonly #resolved = new Map<string, ResolvedImage>();

  constructor(resolver: ImageResolver, signal: AbortSignal) {
    this.#resolver = resolver;
    this.#signal = signal;
  }

  async base(planned: PlannedStage, plan: BuildPlan): Promise<ResolvedImage | undefined> {
    const { base } = planned;
    if (base.kind !== "image") return undefined;
    return await this.#resolve(base.reference, planned, plan);
  }

  /** Those of COPY --from and RUN --mount=from too. */
  async all(plan: BuildPlan, needed: readonly number[]): Promise<void> {
    const wanted = needed.flatMap((index) => {
      const planned = plan.stages[index]!;
      const sources = planned.instructions.flatMap(({ sources: own }) => own);
      return sources.flatMap((source) =>
        source.kind === "image" ? this.#resolve(source.reference, planned, plan) : [],
      );
    });
    await Promise.all(wanted);
  }

  get(reference: string, planned: PlannedStage, plan: BuildPlan): ResolvedImage {
    const found = this.#resolved.get(keyOf(reference, planned, plan));
    if (found !== undefined) return found;
    throw new GantryError("internal", `the image ${reference} was not resolved`);
  }

  #resolve(reference: string, planned: PlannedStage, plan: BuildPlan): Promise<ResolvedImage> {
    const key = keyOf(reference, planned, plan);
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const platform = planned.platform ?? plan.targetPlatform;
    const resolving = this.#resolver
      .image(reference, { platform, signal: this.#signal })
      .catch((error) => Promise.reject(withHint(error, reference, plan)))
      .then((image) => {
        this.#resolved.set(key, image);
        return image;
      });
    resolving.catch(() => {});
    this.#found.set(key, resolving);
    return resolving;
  }
}

/** A stage's name that was mistyped is taken for an image's. */
function withHint(error: unknown, reference: string, plan: BuildPlan): unknown {
  const stages = plan.file.stages.flatMap(({ from }) => from.name ?? []);
  const written = reference.replace(/^docker\.io\/library\//, "").replace(/:latest$/, "");
  const hint = didYouMean(written, stages);
  if (hint === "" || !(error instanceof GantryError) || error.kind === "cancelled") return error;
  const { kind, detail, message } = error;
  return new GantryError(kind, `${message}${hint}`, { cause: error, detail });
}

const keyOf = (reference: string, planned: PlannedStage, plan: BuildPlan): string =>
  JSON.stringify([reference, planned.platform ?? plan.targetPlatform]);

class GraphMaker {
  readonly #plan: BuildPlan;
  readonly #images: Images;
  readonly #stages = new Map<number, GraphStage>();
  #vertices = 0;

  constructor(plan: BuildPlan, images: Images) {
    this.#plan = plan;
    this.#images = images;
  }

  make(): BuildGraph {
    for (const index of this.#plan.needed) this.#stages.set(index, this.#stage(index));
    const stages = [...this.#stages.values()];
    return { plan: this.#plan, stages, target: this.#stages.get(this.#plan.target)! };
  }

  #stage(index: number): GraphStage {
    const planned = this.#plan.stages[index]!;
    const { base, input, image } = this.#base(planned);
    const evaluated = evaluateStage(this.#plan, index, base);
    let top = input;
    const steps = evaluated.steps.map((step): GraphStep => {
      const operation = this.#operation(step, planned);
      if (operation === undefined) return { step };
      const vertex: Vertex = { index: this.#vertices++, label: step.label, base: top, operation };
      top = { kind: "vertex", vertex };
      return { step, vertex };
    });
    const triggers = planned.instructions.filter(({ isTrigger }) => isTrigger).length;
    return { planned, evaluated, base: input, ...(image && { image }), triggers, steps, top };
  }

  #base(planned: PlannedStage): { base: StageBase; input: Input; image?: ResolvedImage } {
    const { base } = planned;
    switch (base.kind) {
      case "scratch":
        return { base: { kind: "scratch" }, input: SCRATCH };
      case "stage": {
        const parent = this.#stages.get(base.index)!;
        return { base: { kind: "stage", stage: parent.evaluated }, input: parent.top };
      }
      case "image": {
        const image = this.#images.get(base.reference, planned, this.#plan);
        return {
          base: { kind: "image", document: image.document },
          input: { kind: "root", root: image.root },
          image,
        };
      }
      case "context": {
        const what = `named context ${JSON.stringify(base.name)}`;
        throw this.#refuse(planned.stage.from, `a ${what} as the base of a stage is not supported`);
      }
    }
  }

  #operation(step: Step, planned: PlannedStage): Operation | undefined {
    switch (step.kind) {
      case "config":
        return undefined;
      case "workdir":
        return { kind: "folder", path: step.path, user: step.user };
      case "run":
        return this.#run(step, planned);
      case "copy":
        return this.#copy(step, planned);
      case "add":
        return this.#add(step);
    }
  }

  #run(step: RunStep, planned: PlannedStage): RunOperation {
    if (step.devices.length > 0) {
      throw this.#refuse(
        step.instruction,
        "RUN --device is not supported: there are no CDI devices",
      );
    }
    const { args, user, workingDir, network, security, proxyEnv, script } = step;
    const { mounts } = step;
    return {
      kind: "run",
      ...{ args, user, workingDir, network, security, proxyEnv },
      env: step.env.entries(),
      mounts: mounts.map(({ mount, from }) => ({ mount, from: this.#input(from, planned) })),
      ...(script && { script }),
    };
  }

  #copy(step: CopyStep, planned: PlannedStage): CopyOperation {
    const from = this.#input(step.from, planned);
    const sources = step.paths.length > 0 ? [{ from, paths: step.paths }] : [];
    return { kind: "copy", ...optionsOf(step), sources, parents: step.parents, unpack: false };
  }

  #add(step: AddStep): CopyOperation {
    const sources = step.sources.map((source): CopyOperation["sources"][number] => {
      if (source.kind === "path") return { from: { kind: "context", name: "" }, paths: [source] };
      if (source.kind === "git") {
        throw this.#refuse(step.instruction, "ADD of a git repository is not supported yet");
      }
      const { url, fileName } = source;
      const { checksum } = step;
      const download = { url, fileName, ...(checksum && { checksum }) };
      const path = { written: url, path: `/${fileName}` };
      return { from: { kind: "download", download }, paths: [path] };
    });
    const remote = sources.some(({ from }) => from.kind === "download");
    if (remote && step.unpack === undefined && sources.length > 1) {
      const mixed = sources.some(({ from }) => from.kind !== "download");
      if (mixed) {
        throw this.#refuse(
          step.instruction,
          "ADD of files and URLs in one instruction is not supported: write an ADD each",
        );
      }
    }
    const unpack = step.unpack ?? !remote;
    return { kind: "copy", ...optionsOf(step), sources, parents: false, unpack };
  }

  #input(source: Source, planned: PlannedStage): Input {
    switch (source.kind) {
      case "main":
        return { kind: "context", name: "" };
      case "context":
        return { kind: "context", name: source.name };
      case "scratch":
        return SCRATCH;
      case "stage":
        return this.#stages.get(source.index)!.top;
      case "image": {
        const { root } = this.#images.get(source.reference, planned, this.#plan);
        return { kind: "root", root };
      }
    }
  }

  #refuse({ range }: Step["instruction"] | PlannedStage["stage"]["from"], message: string) {
    return errorAt({ source: this.#plan.file.source, range }, message);
  }
}

function optionsOf(step: CopyOptions): CopyOptions {
  const { inline, destination, chown, chmod, link, exclude } = step;
  return {
    ...{ inline, destination, link, exclude },
    ...(chown && { chown }),
    ...(chmod && { chmod }),
  };
}

/** The file system of an input that is no context. */
export function isRoot(input: Input): input is { kind: "root"; root: Root } {
  return input.kind === "root";
}
