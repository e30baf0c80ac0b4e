// The labels of a container from its options (`--security-opt label=…`) and its namespaces, with
// dockerd's rules and wording. Pure.

import { GantryError } from "../../base/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import { NOBODYS_LEVEL } from "./categories.ts";
import { type Context, formatContext, type PolicyContexts, parseContext } from "./contexts.ts";

/** "" of a process: it has none of its own and runs as whoever starts it. */
export interface Labels {
  process: string;
  mount: string;
}

const PARTS = ["user", "role", "type", "level"] as const;
const isPart = (name: string): name is keyof Context => (PARTS as readonly string[]).includes(name);

/** The values of the options that are about labels. */
export function labelOptions(options: readonly string[]): string[] {
  return options.flatMap((option) => {
    if (option === "disable") return [option];
    return /^label[=:]([\s\S]*)$/.exec(option)?.[1] ?? [];
  });
}

/** What a container asks for by its namespaces, unless it has options of its own. `labelOf` is the
 * process label of another container, "" for none. */
export function impliedOptions(host: HostConfig, labelOf: (ref: string) => string): string[] {
  const { IpcMode = "", PidMode = "" } = host;
  if (IpcMode === "host" || PidMode === "host" || host.Privileged) return ["disable"];
  const shared = [IpcMode, PidMode]
    .filter((mode) => mode.startsWith("container:"))
    .map((mode) => labelOf(mode.slice("container:".length)))
    .filter((label) => label !== "");
  const [label, other = label] = shared;
  if (label !== other) {
    throw new GantryError("invalid", "--ipc and --pid containers SELinux labels aren't the same");
  }
  if (label === undefined) return [];
  const context = parseContext(label);
  return PARTS.filter((part) => context[part] !== "").map((part) => `${part}:${context[part]}`);
}

/** `level` is called where the container gets categories of its own. */
export function containerLabels(
  options: readonly string[],
  policy: PolicyContexts,
  level: () => string,
): Labels {
  const process = parseContext(policy.process);
  const mount = parseContext(policy.file);
  const asked: Partial<Context> = {};
  for (const option of options) {
    if (option === "disable") return { process: "", mount: disabledMount(mount) };
    const [, name = "", value = ""] = /^([^:]*):([\s\S]*)$/.exec(option) ?? [];
    if (name === "" && !option.includes(":")) throw badOption(option, "'disable' or \n'user");
    if (name === "filetype") mount.type = value;
    else if (isPart(name)) asked[name] = value;
    else throw badOption(name, "'disable, user");
  }
  if (process.level !== "" && asked.level === undefined) asked.level = level();
  const { user = mount.user, level: both = mount.level } = asked;
  return {
    process: formatContext({ ...process, ...asked }),
    mount: formatContext({ ...mount, user, level: both }),
  };
}

function disabledMount(mount: Context): string {
  return formatContext({ ...mount, level: mount.level === "" ? "" : NOBODYS_LEVEL });
}

function badOption(option: string, first: string): GantryError {
  const after = first.includes("\n") ? " followed by ':' and a value" : "";
  return new GantryError(
    "invalid",
    `bad label option ${JSON.stringify(option)}, valid options ${first}, role, level, type, ` +
      `filetype'${after}`,
  );
}

/** The label of what containers share. */
export function sharedLabel(label: string): string {
  const context = parseContext(label);
  return formatContext({ ...context, level: context.level === "" ? "" : "s0" });
}
