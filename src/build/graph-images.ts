// The images that a plan names, each resolved once, side by side: bases, COPY --from, RUN
// --mount=from, and named contexts that are images. A named context that is a folder has none.

import { GantryError } from "../base/index.ts";
import type { ImageResolver, ResolvedImage } from "./contract.ts";
import { errorAt, placeOf } from "./language/dockerfile-error.ts";
import { type BuildPlan, type PlannedStage, type Source, withTriggers } from "./language/plan.ts";
import type { SourceRange } from "./language/source.ts";
import { didYouMean } from "./language/suggest.ts";

/** Base images bring ONBUILD triggers, and these may need further stages. */
export async function withImageTriggers(start: BuildPlan, images: GraphImages): Promise<BuildPlan> {
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

type ImageSource = Extract<Source, { kind: "image" | "context" }>;

export class GraphImages {
  readonly #resolver: ImageResolver;
  readonly #signal: AbortSignal;
  readonly #found = new Map<string, Promise<ResolvedImage | undefined>>();
  readonly #resolved = new Map<string, ResolvedImage | undefined>();

  constructor(resolver: ImageResolver, signal: AbortSignal) {
    this.#resolver = resolver;
    this.#signal = signal;
  }

  async base(planned: PlannedStage, plan: BuildPlan): Promise<ResolvedImage | undefined> {
    const { base, stage } = planned;
    return isImage(base) ? await this.#resolve(base, planned, plan, stage.from.range) : undefined;
  }

  /** Those of COPY --from and RUN --mount=from too. */
  async all(plan: BuildPlan, needed: readonly number[]): Promise<void> {
    const wanted = needed.flatMap((index) => {
      const planned = plan.stages[index]!;
      return planned.instructions.flatMap(({ sources, instruction, isTrigger }) => {
        // A trigger stands in no file of ours.
        const { range } = isTrigger ? planned.stage.from : instruction;
        return sources.filter(isImage).map((one) => this.#resolve(one, planned, plan, range));
      });
    });
    await Promise.all(wanted);
  }

  /** Undefined: a named context of files. */
  get(source: ImageSource, planned: PlannedStage, plan: BuildPlan): ResolvedImage | undefined {
    const key = keyOf(source, planned, plan);
    if (this.#resolved.has(key)) return this.#resolved.get(key);
    const name = source.kind === "image" ? source.reference : source.name;
    throw new GantryError("internal", `the image ${name} was not resolved`);
  }

  #resolve(
    source: ImageSource,
    planned: PlannedStage,
    plan: BuildPlan,
    range: SourceRange,
  ): Promise<ResolvedImage | undefined> {
    const key = keyOf(source, planned, plan);
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const resolving = this.#ask(source, planned.platform ?? plan.targetPlatform)
      .catch((error) => Promise.reject(withPlace(error, source, { plan, range })))
      .then((image) => {
        this.#resolved.set(key, image);
        return image;
      });
    resolving.catch(() => {});
    this.#found.set(key, resolving);
    return resolving;
  }

  async #ask(
    source: ImageSource,
    platform: PlannedStage["platform"] & object,
  ): Promise<ResolvedImage | undefined> {
    const o = { platform, signal: this.#signal };
    if (source.kind === "image") return await this.#resolver.image(source.reference, o);
    return await this.#resolver.context?.(source.name, o);
  }
}

function isImage(source: Source): source is ImageSource {
  return source.kind === "image" || source.kind === "context";
}

/** Says what was asked for and where; a stage's name that was mistyped is taken for an image's. */
function withPlace(
  error: unknown,
  source: ImageSource,
  { plan, range }: { plan: BuildPlan; range: SourceRange },
): unknown {
  if (!(error instanceof GantryError) || error.kind === "cancelled" || placeOf(error)) return error;
  const { kind, message } = error;
  const place = errorAt({ source: plan.file.source, range }, message).detail;
  const detail = { ...error.detail, ...place };
  if (source.kind !== "image") return new GantryError(kind, message, { cause: error, detail });
  const stages = plan.file.stages.flatMap(({ from }) => from.name ?? []);
  const written = source.reference.replace(/^docker\.io\/library\//, "").replace(/:latest$/, "");
  const failed = `${written}: failed to resolve source metadata for ${source.reference}`;
  const hint = didYouMean(written, stages);
  return new GantryError(kind, `${failed}: ${message}${hint}`, { cause: error, detail });
}

function keyOf(source: ImageSource, planned: PlannedStage, plan: BuildPlan): string {
  const name = source.kind === "image" ? source.reference : source.name;
  return JSON.stringify([source.kind, name, planned.platform ?? plan.targetPlatform]);
}
