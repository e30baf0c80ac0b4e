// The image at the end of a stage: its config, with the history told by the steps. A step that was
// cached has the time of its first run, and one that makes no layer that of the step before it: the
// same build gives the same image, whenever it is made.

import type { BuildGraph, GraphStage, Vertex } from "../../build/index.ts";
import { digestOf, type ImageHistory } from "../../spec/index.ts";
import { encodeImageConfig } from "../../storage/index.ts";

export interface StepFacts {
  createdAtMs: number;
  /** Layers after the step. */
  layers: readonly string[];
  /** The step made no layer. */
  isEmpty: boolean;
}
export type Outcomes = ReadonlyMap<Vertex, StepFacts>;

export interface AssembleOptions {
  graph: BuildGraph;
  outcomes: Outcomes;
  labels: Readonly<Record<string, string>>;
  /** SOURCE_DATE_EPOCH: every time in the config. */
  epochSeconds?: number;
  now: Date;
}

/** The raw config of the target's image. */
export function assembleConfig(o: AssembleOptions, layers: readonly string[]): Uint8Array {
  const { graph, labels } = o;
  const { evaluated } = graph.target;
  const history = completeHistory(o, evaluated.history);
  const named = Object.keys(labels).length > 0;
  const config = {
    ...evaluated.config,
    ...(named && { Labels: { ...evaluated.config.Labels, ...labels } }),
  };
  const { architecture, os, variant } = evaluated.platform;
  const created = o.epochSeconds ?? lastTime(history);
  return encodeImageConfig({
    ...{ architecture, os, config, history, diffIds: layers },
    ...(variant && { variant }),
    ...(evaluated.author && { author: evaluated.author }),
    created: created === undefined ? o.now : new Date(created * 1000),
  });
}

function lastTime(history: readonly ImageHistory[]): number | undefined {
  const last = history.findLast(({ created }) => created)?.created;
  return last === undefined ? undefined : Date.parse(last) / 1000;
}

/** The entries with their times; those of the base have theirs. */
function completeHistory(
  { graph, outcomes, epochSeconds }: AssembleOptions,
  history: readonly ImageHistory[],
): ImageHistory[] {
  const vertices = new Map<ImageHistory, Vertex | undefined>();
  for (const stage of graph.stages) {
    for (const { step, vertex } of stage.steps) {
      if (step.history) vertices.set(step.history, vertex);
    }
  }
  let created: string | undefined;
  return history.map((entry) => {
    if (!vertices.has(entry)) {
      created = entry.created ?? created;
      return entry;
    }
    const facts = outcomes.get(vertices.get(entry)!);
    if (facts) created = new Date(facts.createdAtMs).toISOString();
    if (epochSeconds !== undefined) created = new Date(epochSeconds * 1000).toISOString();
    return {
      ...entry,
      ...(created && { created }),
      ...(facts?.isEmpty && { empty_layer: true }),
    };
  });
}

/** Names the state after each step of a stage, for the classic output: a digest of what it is, but
 * no image of that name exists. */
export function stepNames(
  stage: GraphStage,
  outcomes: Outcomes,
  baseName: string,
): (index: number) => string {
  const names: string[] = [];
  let name = baseName;
  return (index) => {
    while (names.length <= index) {
      const { step, vertex } = stage.steps[names.length]!;
      const layers = vertex ? (outcomes.get(vertex)?.layers ?? []) : [];
      name = digestOf(JSON.stringify([name, step.instruction.original, layers]));
      names.push(name);
    }
    return names[index]!;
  };
}
