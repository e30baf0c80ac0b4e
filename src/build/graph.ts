// From a planned Dockerfile to a graph of operations: each stage evaluated on its base, each step
// that makes files a vertex, its inputs other vertices, known file systems or contexts. Config
// instructions are no vertices. Only what the target needs is looked at; base images are resolved
// side by side.

import type { FileSource, ImageResolver, ResolvedImage, Root, RunRequest } from "./contract.ts";
import { GraphImages, withImageTriggers } from "./graph-images.ts";
import type { GitSource } from "./language/add-source.ts";
import { errorAt } from "./language/dockerfile-error.ts";
import { evaluateStage, type StageBase } from "./language/evaluate-stage.ts";
import type { BuildPlan, PlannedStage, Source } from "./language/plan.ts";
import type { RunMount } from "./language/run-mount.ts";
import { StepLabels } from "./language/step-label.ts";
import type {
  AddStep,
  CopyOptions,
  CopyPath,
  CopyStep,
  EvaluatedStage,
  RunStep,
  Step,
} from "./language/steps.ts";
import { identityOf } from "./vertex-identity.ts";

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
  /** A repository: the whole tree of it, and no file. */
  git?: GitSource;
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
  /** A digest of the operation and of what it reads, as far as it is known before anything has run:
   * the same in every build of the same file. */
  identity: string;
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
  /** As progress shows the base: "[build 1/5] FROM docker.io/library/node:22"; "" for none. */
  baseLabel: string;
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
  o: { signal: AbortSignal },
): Promise<BuildGraph> {
  const [graph] = await makeGraphs([plan], resolver, o);
  return graph!;
}

/** The graphs of one file for several platforms; what is the same in them is one vertex. */
export async function makeGraphs(
  plans: readonly BuildPlan[],
  resolver: ImageResolver,
  { signal }: { signal: AbortSignal },
): Promise<BuildGraph[]> {
  const shared = new Map<string, Vertex>();
  const resolved = await Promise.all(
    plans.map(async (plan) => {
      const images = new GraphImages(resolver, signal);
      const triggered = await withImageTriggers(plan, images);
      await images.all(triggered, triggered.needed);
      return { triggered, images };
    }),
  );
  return resolved.map(({ triggered, images }) => new GraphMaker(triggered, images, shared).make());
}

class GraphMaker {
  readonly #plan: BuildPlan;
  readonly #images: GraphImages;
  readonly #stages = new Map<number, GraphStage>();
  readonly #shared: Map<string, Vertex>;

  constructor(plan: BuildPlan, images: GraphImages, shared: Map<string, Vertex>) {
    this.#plan = plan;
    this.#images = images;
    this.#shared = shared;
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
      const vertex = this.#vertex(step.label, top, operation);
      top = { kind: "vertex", vertex };
      return { step, vertex };
    });
    const triggers = planned.instructions.filter(({ isTrigger }) => isTrigger).length;
    const baseLabel = new StepLabels(planned).base;
    const about = { planned, evaluated, baseLabel, ...(image && { image }), triggers };
    return { ...about, base: input, steps, top };
  }

  #vertex(label: string, base: Input, operation: Operation): Vertex {
    const identity = identityOf(base, operation);
    const known = this.#shared.get(identity);
    if (known !== undefined) return known;
    const vertex = { index: this.#shared.size, identity, label, base, operation };
    this.#shared.set(identity, vertex);
    return vertex;
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
      case "image":
      case "context": {
        const image = this.#images.get(base, planned, this.#plan);
        if (image === undefined)
          return this.#folderBase(planned, base.kind === "context" ? base.name : "");
        return {
          base: { kind: "image", document: image.document },
          input: { kind: "root", root: image.root },
          image,
        };
      }
    }
  }

  /** A folder of the client's as the file system to begin with. */
  #folderBase(planned: PlannedStage, name: string): { base: StageBase; input: Input } {
    const from: Input = { kind: "context", name };
    const operation: CopyOperation = {
      ...{ kind: "copy", sources: [{ from, paths: [{ written: "/", path: "/" }] }], inline: [] },
      ...{ destination: "/", link: true, exclude: [], parents: false, unpack: false },
    };
    const vertex = this.#vertex(new StepLabels(planned).base, SCRATCH, operation);
    return { base: { kind: "scratch" }, input: { kind: "vertex", vertex } };
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
      mounts: mounts.map(({ mount, from }) => ({
        ...{ mount, from: readsFiles(mount) ? this.#input(from, planned) : SCRATCH },
      })),
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
      const { checksum } = step;
      if (source.kind === "git") {
        const { keepGitDir } = step;
        const git = { ...source, ...(checksum && { checksum }), ...(keepGitDir && { keepGitDir }) };
        const { remote: url } = source;
        const paths = [{ written: url, path: "/" }];
        return { from: { kind: "download", download: { url, fileName: "", git } }, paths };
      }
      const { url, fileName } = source;
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
      case "scratch":
        return SCRATCH;
      case "stage":
        return this.#stages.get(source.index)!.top;
      case "image":
      case "context": {
        const image = this.#images.get(source, planned, this.#plan);
        if (image) return { kind: "root", root: image.root };
        return { kind: "context", name: source.kind === "context" ? source.name : "" };
      }
    }
  }

  #refuse({ range }: Step["instruction"] | PlannedStage["stage"]["from"], message: string) {
    return errorAt({ source: this.#plan.file.source, range }, message);
  }
}

/** A cache, a tmpfs or a secret comes from nowhere that a graph knows. */
function readsFiles(mount: RunMount): boolean {
  return mount.type === "bind" || (mount.type === "cache" && mount.from !== undefined);
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
