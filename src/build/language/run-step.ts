// RUN: the command line with its shell and here-documents, its mounts and flags resolved.

import { TextFault } from "./dockerfile-error.ts";
import type { EnvironmentView } from "./environment.ts";
import { heredocOpening, heredocText } from "./heredoc.ts";
import { historyCharsMax } from "./limits.ts";
import { resolvePath } from "./paths.ts";
import type { Source } from "./plan.ts";
import { parseMount, type RunMount } from "./run-mount.ts";
import { parseDevice, parseNetwork, parseSecurity } from "./run-options.ts";
import type { DeclaredArg, RunStep } from "./steps.ts";
import type { Run } from "./syntax-tree.ts";
import { type BuildArgs, ownValue, PROXY_ARGS } from "./variables.ts";

const SCRIPT_FOLDER = "/dev/pipes";

export interface RunContext {
  shell: string[];
  os: string;
  workingDir: string;
  /** Expands one flag value. */
  expand: (word: string) => string;
}

type RunParts = Pick<RunStep, "args" | "script" | "mounts" | "network" | "security" | "devices">;

export function resolveRun(run: Run, sources: readonly Source[], context: RunContext): RunParts {
  const { expand } = context;
  return {
    ...commandOf(run, context),
    mounts: run.mounts.map((text, index) => {
      const mount = placed(parseMount(text, expand), context);
      return { mount, from: sourceOf(mount, sources[index]) };
    }),
    network: parseNetwork(run.network === undefined ? "default" : expand(run.network)),
    security: parseSecurity(run.security === undefined ? "sandbox" : expand(run.security)),
    devices: run.devices.map((text) => parseDevice(expand(text))),
  };
}

/** Without `from`, a bind mount shows the build context and a cache begins empty. */
function sourceOf(mount: RunMount, planned: Source | undefined): Source {
  if ("from" in mount && planned !== undefined) return planned;
  return { kind: mount.type === "bind" ? "main" : "scratch" };
}

/** Targets of mounts are seen from the working folder. */
function placed(mount: RunMount, { workingDir }: RunContext): RunMount {
  if (mount.target === undefined) return mount;
  return { ...mount, target: resolvePath(workingDir || "/", mount.target) };
}

function commandOf(run: Run, context: RunContext): Pick<RunStep, "args" | "script"> {
  const { command, heredocs } = run;
  if (command.form === "exec") {
    if (command.words.length === 0) throw new TextFault("RUN requires at least one argument");
    return { args: command.words };
  }
  const { shell, os } = context;
  const [first] = heredocs;
  if (first === undefined) return { args: [...shell, command.text] };
  if (heredocOpening(command.text) === undefined) {
    // A command that reads here-documents: the shell gets all of them as they were written.
    const bodies = heredocs.map(({ content, name }) => `\n${content}${name}`);
    return { args: [...shell, command.text + bodies.join("")] };
  }
  const content = heredocText(first);
  if (os === "windows" || !content.startsWith("#!")) return { args: [...shell, content] };
  const path = `${SCRIPT_FOLDER}/${first.name.replaceAll("/", "_")}`;
  return { args: [...shell, path], script: { path, content } };
}

/** "RUN |1 A=1 /bin/sh -c make # buildkit": the ARGs stand before the command. */
export function runHistory(
  args: readonly string[],
  declared: readonly DeclaredArg[],
  env: EnvironmentView,
): string {
  const values = new Map<string, string>();
  let length = 0;
  for (const { name, value } of declared) {
    const text = `${name}=${env.get(name) ?? value ?? ""}`;
    values.set(name, text);
    length += text.length;
    if (length > historyCharsMax) throw new TextFault("the ARGs are too large for the history");
  }
  const prefix = values.size === 0 ? [] : [`|${values.size}`, ...values.values()];
  return `RUN ${[...prefix, ...args].join(" ")} # buildkit`;
}

/** Proxy settings among the build arguments, in both spellings. */
export function proxyEnvironment(buildArgs: BuildArgs): string[] {
  const found = new Map<string, string>();
  for (const name of PROXY_ARGS) {
    const value = ownValue(buildArgs, name);
    if (value === undefined) continue;
    for (const spelling of [name.toUpperCase(), name.toLowerCase()]) {
      if (spelling === name || !found.has(spelling)) found.set(spelling, value);
    }
  }
  return [...found].map(([name, value]) => `${name}=${value}`);
}
