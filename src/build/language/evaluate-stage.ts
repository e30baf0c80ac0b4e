// One stage from its base to its end, without running anything: variables expanded, each step
// resolved, the config and the history that the image will have. Needs the base's config, so it is
// called when that is known; everything else is in the plan.

import { GantryError } from "../../base/index.ts";
import type { ImageConfigDocument, ImageHistory, Platform } from "../../spec/index.ts";
import {
  applyInstruction,
  type ConfigState,
  finishConfig,
  shellOf,
  startConfig,
} from "./config-change.ts";
import { copyHistory, resolveAdd, resolveCopy } from "./copy-step.ts";
import { TextFault } from "./dockerfile-error.ts";
import { Environment } from "./environment.ts";
import { expandInstruction } from "./expand-instruction.ts";
import { historyCharsMax } from "./limits.ts";
import type { BuildPlan, PlannedInstruction, PlannedStage } from "./plan.ts";
import { proxyEnvironment, resolveRun, runHistory } from "./run-step.ts";
import type { Expansion } from "./shell-lexer.ts";
import { StepLabels } from "./step-label.ts";
import type {
  AddStep,
  CopyStep,
  DeclaredArg,
  EvaluatedStage,
  RunStep,
  Step,
  WorkdirStep,
} from "./steps.ts";
import type { Add, Arg, Copy, Run, StageInstruction, Workdir } from "./syntax-tree.ts";
import { expandAt, faultAt, NOT_IN_ENVIRONMENT, ownValue } from "./variables.ts";

export type StageBase =
  | { kind: "scratch" }
  | { kind: "image"; document: ImageConfigDocument }
  | { kind: "stage"; stage: EvaluatedStage };

/** Told what the checks need to know while a stage is evaluated. */
export interface EvaluationObserver {
  /** Names that were unset and declared by no ARG; `names` are those that are set. */
  unset?(instruction: StageInstruction, unset: readonly string[], names: () => string[]): void;
  /** Each instruction, expanded, before it changes anything. */
  visit?(instruction: StageInstruction, config: ConfigState, workdirSet: boolean): void;
}

/** A step without what every step has. */
type Bare<S extends Step> = Omit<S, "isTrigger" | "label">;

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HISTORY_COMMENT = "buildkit.dockerfile.v0";
const WINDOWS_PATH = "c:\\Windows\\System32;c:\\Windows";

/** Evaluates a stage. Throws invalid with the place in the Dockerfile. */
export function evaluateStage(
  plan: BuildPlan,
  index: number,
  base: StageBase,
  observer: EvaluationObserver = {},
): EvaluatedStage {
  const planned = plan.stages[index];
  if (planned === undefined) throw new GantryError("internal", `the file has no stage ${index}`);
  return new Evaluation(plan, planned, base, observer).run();
}

class Evaluation {
  readonly #plan: BuildPlan;
  readonly #planned: PlannedStage;
  readonly #observer: EvaluationObserver;
  readonly #platform: Platform;
  readonly #state: ConfigState;
  readonly #variables = new Environment();
  readonly #labels: StepLabels;
  readonly #history: ImageHistory[];
  readonly #proxyEnv: string[];
  #args: DeclaredArg[] = [];
  #declared = new Set<string>();
  #workdirSet = false;
  #historyChars = 0;

  constructor(
    plan: BuildPlan,
    planned: PlannedStage,
    base: StageBase,
    observer: EvaluationObserver,
  ) {
    this.#plan = plan;
    this.#planned = planned;
    this.#observer = observer;
    this.#labels = new StepLabels(planned);
    this.#proxyEnv = proxyEnvironment(plan.buildArgs);
    const from = base.kind === "image" ? base.document : undefined;
    const parent = base.kind === "stage" ? base.stage : undefined;
    this.#platform = parent?.platform ?? planned.platform ?? plan.targetPlatform;
    const os = from?.os ?? this.#platform.os;
    const config = parent?.config ?? (from ? (from.config ?? {}) : { WorkingDir: "/" });
    this.#state = startConfig(config, os);
    // Triggers of the base have become instructions of this stage: its image has none of them.
    delete this.#state.config.OnBuild;
    const author = parent?.author ?? from?.author;
    if (author) this.#state.author = author;
    this.#history = [...(parent?.history ?? from?.history ?? [])];
    if (!this.#state.env.has("PATH")) {
      const path = os === "windows" ? WINDOWS_PATH : DEFAULT_PATH;
      this.#state.env.set("PATH", `PATH=${path}`);
    }
    this.#variables.setEntries([...this.#state.env.values()]);
    if (parent !== undefined) {
      this.#variables.setEntries(parent.inherited.variables.entries());
      this.#args = [...parent.inherited.args];
      this.#declared = new Set(this.#args.map(({ name }) => name));
      this.#workdirSet = parent.inherited.workdirSet;
    }
  }

  run(): EvaluatedStage {
    const steps = this.#planned.instructions.map((planned) => this.#guarded(planned));
    const { author } = this.#state;
    return {
      index: this.#planned.index,
      platform: this.#platform,
      steps,
      config: finishConfig(this.#state),
      ...(author === undefined ? {} : { author }),
      history: this.#history,
      inherited: {
        variables: this.#variables.view(),
        args: this.#args,
        workdirSet: this.#workdirSet,
      },
    };
  }

  #guarded(planned: PlannedInstruction): Step {
    try {
      return this.#step(planned);
    } catch (error) {
      throw faultAt(this.#plan.file, planned.instruction, error);
    }
  }

  #step(planned: PlannedInstruction): Step {
    const { instruction, isTrigger } = planned;
    const label = this.#labels.next(instruction, isTrigger, this.#variables);
    const common = { isTrigger, label };
    if (instruction.kind === "ARG") {
      const line = this.#declare(instruction);
      return { kind: "config", instruction, ...common, ...this.#record(line, true) };
    }
    const expanded = expandInstruction(instruction, {
      word: (text) => this.#expand(instruction, text).text,
      words: (text) => this.#expand(instruction, text).words,
      body: (text) => this.#expandBody(instruction, text),
    });
    this.#observer.visit?.(expanded, this.#state, this.#workdirSet);
    switch (expanded.kind) {
      case "RUN":
        return { ...common, ...this.#run(expanded, planned) };
      case "COPY":
      case "ADD":
        return { ...common, ...this.#copy(expanded, planned) };
      case "WORKDIR":
        return { ...common, ...this.#workdir(expanded) };
      default: {
        if (expanded.kind === "ENV") {
          for (const { key, value } of expanded.pairs) this.#variables.set(key, value);
        }
        const line = applyInstruction(this.#state, expanded);
        return { kind: "config", instruction: expanded, ...common, ...this.#record(line, true) };
      }
    }
  }

  /** The value is the build argument's, else the default, else the global ARG's. */
  #declare(instruction: Arg): string {
    const lines = instruction.args.map(({ name, value }) => {
      const result = this.#argValue(instruction, name, value);
      if (result !== undefined && !NOT_IN_ENVIRONMENT.includes(name)) {
        this.#variables.set(name, result);
      }
      this.#args.push({ name, ...(result === undefined ? {} : { value: result }) });
      this.#declared.add(name);
      return result === undefined ? name : `${name}=${result}`;
    });
    this.#observer.visit?.(instruction, this.#state, this.#workdirSet);
    return `ARG ${lines.join(" ")}`;
  }

  #argValue(instruction: Arg, name: string, value: string | undefined): string | undefined {
    const given = ownValue(this.#plan.buildArgs, name);
    if (given !== undefined) return given;
    if (value === undefined) return this.#plan.globals.values.get(name);
    return this.#expand(instruction, value).text;
  }

  #run(run: Run, { sources }: PlannedInstruction): Bare<RunStep> {
    const { config, os } = this.#state;
    const parts = resolveRun(run, sources, {
      shell: shellOf(this.#state),
      os,
      workingDir: config.WorkingDir ?? "",
      expand: (text) => this.#expand(run, text).text,
    });
    const env = this.#variables.view();
    return {
      kind: "run",
      instruction: run,
      ...parts,
      env,
      proxyEnv: this.#proxyEnv,
      user: config.User ?? "",
      workingDir: config.WorkingDir || "/",
      ...this.#record(runHistory(parts.args, this.#args, env), false),
    };
  }

  #copy(expanded: Add | Copy, { sources }: PlannedInstruction): Bare<AddStep> | Bare<CopyStep> {
    const folder = this.#state.config.WorkingDir ?? "";
    const record = this.#record(copyHistory(expanded), false);
    if (expanded.kind === "ADD") {
      return { kind: "add", instruction: expanded, ...resolveAdd(expanded, folder), ...record };
    }
    const from = sources[0] ?? { kind: "main" };
    const copy = resolveCopy(expanded, folder);
    return { kind: "copy", instruction: expanded, from, ...copy, ...record };
  }

  #workdir(expanded: Workdir): Bare<WorkdirStep> {
    this.#workdirSet = true;
    const line = applyInstruction(this.#state, expanded);
    const { WorkingDir: path = "/", User: user = "" } = this.#state.config;
    const record = this.#record(line, path === "/");
    return { kind: "workdir", instruction: expanded, path, user, ...record };
  }

  #record(line: string | undefined, isEmpty: boolean): { history?: ImageHistory } {
    if (line === undefined) return {};
    this.#historyChars += line.length;
    if (this.#historyChars > historyCharsMax) {
      throw new TextFault(`the history of a stage grows beyond ${historyCharsMax} characters`);
    }
    const history: ImageHistory = {
      created_by: line,
      comment: HISTORY_COMMENT,
      ...(isEmpty ? { empty_layer: true } : {}),
    };
    this.#history.push(history);
    return { history };
  }

  #expand(instruction: StageInstruction, text: string): Expansion {
    const result = expandAt(this.#plan.file, instruction, text, this.#variables);
    this.#reportUnset(instruction, result);
    return result;
  }

  #expandBody(instruction: StageInstruction, text: string): string {
    const options = { ignoreQuotes: true, escape: "\\" as const };
    const result = expandAt(this.#plan.file, instruction, text, this.#variables, options);
    this.#reportUnset(instruction, result);
    return result.text;
  }

  #reportUnset(instruction: StageInstruction, { unset }: Expansion): void {
    if (this.#observer.unset === undefined || unset.size === 0) return;
    const missing = [...unset].filter(
      (name) => !this.#declared.has(name) && !NOT_IN_ENVIRONMENT.includes(name),
    );
    if (missing.length > 0) {
      this.#observer.unset(instruction, missing, () => this.#variables.names());
    }
  }
}
