// What a stage does, as data: the steps that the solver runs, each with everything expanded and
// resolved, and the history line that it leaves.

import type { ContainerConfig, ImageHistory, Platform } from "../../spec/index.ts";
import type { GitSource, HttpSource } from "./add-source.ts";
import type { EnvironmentView } from "./environment.ts";
import type { FileModeChange } from "./file-mode.ts";
import type { Source } from "./plan.ts";
import type { RunMount } from "./run-mount.ts";
import type { RunDevice, RunNetwork, RunSecurity } from "./run-options.ts";
import type { StageInstruction } from "./syntax-tree.ts";

interface StepBase {
  instruction: StageInstruction;
  /** From an ONBUILD of the base. */
  isTrigger: boolean;
  /** As progress shows it: "[build 2/5] RUN npm ci". */
  label: string;
  /** Undefined: it leaves no history (ONBUILD). */
  history?: ImageHistory;
}

export interface RunStep extends StepBase {
  kind: "run";
  /** The command with its shell. */
  args: string[];
  /** ENV and ARG as they are here. PATH is always among them. */
  env: EnvironmentView;
  /** Proxy build arguments: set in the process, in no history and no cache key. */
  proxyEnv: string[];
  user: string;
  workingDir: string;
  mounts: { mount: RunMount; from: Source }[];
  network: RunNetwork;
  security: RunSecurity;
  devices: RunDevice[];
  /** A here-document that names its own interpreter: a read-only file at `path`, mode 0755. */
  script?: { path: string; content: string };
}

/** A path, or a pattern, to copy. */
export interface CopyPath {
  /** As written, expanded. */
  written: string;
  /** Absolute in the source; may hold wildcards unless `pattern` is there. */
  path: string;
  /** --parents: what is copied, relative to `path`, its folders kept. */
  pattern?: string;
}
export interface CopyOptions {
  inline: { name: string; content: string }[];
  /** Absolute; ends in a slash where it says that it is a folder. */
  destination: string;
  /** "user[:group]", names to be looked up in the image. */
  chown?: string;
  chmod?: FileModeChange;
  link: boolean;
  exclude: string[];
}
export interface CopyStep extends StepBase, CopyOptions {
  kind: "copy";
  from: Source;
  paths: CopyPath[];
  parents: boolean;
}
export type AddStepSource = ({ kind: "path" } & CopyPath) | GitSource | HttpSource;
export interface AddStep extends StepBase, CopyOptions {
  kind: "add";
  sources: AddStepSource[];
  /** A digest for a file, a commit or its beginning for a repository. */
  checksum?: string;
  keepGitDir: boolean;
  /** Undefined: local archives are unpacked, remote files are not. */
  unpack?: boolean;
}
export interface WorkdirStep extends StepBase {
  kind: "workdir";
  path: string;
  /** Whom the folder belongs to when it is made. */
  user: string;
}
/** Changes the image's config only. */
export interface ConfigStep extends StepBase {
  kind: "config";
}
export type Step = RunStep | CopyStep | AddStep | WorkdirStep | ConfigStep;

/** What a stage comes to, before anything has run. */
export interface EvaluatedStage {
  index: number;
  platform: Platform;
  steps: Step[];
  config: ContainerConfig;
  author?: string;
  /** The base's and the stage's own. */
  history: ImageHistory[];
  /** What a stage on top of this one begins with. */
  inherited: Inherited;
}
export interface Inherited {
  variables: EnvironmentView;
  args: DeclaredArg[];
  workdirSet: boolean;
}
export interface DeclaredArg {
  name: string;
  value?: string;
}
