// What an instruction does to an image's config, and the line of history that it leaves: the one
// place for builds and for `commit --change` and `import --change`. Instructions come expanded.

import type { ContainerConfig } from "../../spec/index.ts";
import { TextFault } from "./dockerfile-error.ts";
import { exposedPort } from "./exposed-ports.ts";
import { goList, goQuotedHealth, goQuotedList } from "./go-format.ts";
import { exposedPortsMax } from "./limits.ts";
import { resolvePath } from "./paths.ts";
import type { CommandLine, StageInstruction } from "./syntax-tree.ts";

export interface ConfigState {
  config: ContainerConfig;
  /** Entries of Env by name; `finishConfig` puts them into the config. */
  env: Map<string, string>;
  os: string;
  author?: string;
  /** CMD stood in this stage: a later ENTRYPOINT leaves it. */
  commandSet: boolean;
  portsNamed: number;
}

type Kinds = Exclude<StageInstruction["kind"], "RUN" | "COPY" | "ADD" | "ARG">;
/** The instructions that change the config; WORKDIR also makes its folder. */
export type ConfigInstruction = Extract<StageInstruction, { kind: Kinds }>;
type Apply<K extends Kinds> = (
  state: ConfigState,
  instruction: Extract<ConfigInstruction, { kind: K }>,
) => string | undefined;

/** Of Linux, as moby/sys/signal knows them. */
const SIGNALS = new Set(
  (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV " +
    "STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
  ).split(" "),
);
const REAL_TIME = /^(?:RTMIN\+(?:[1-9]|1[0-5])|RTMAX-(?:[1-9]|1[0-4]))$/;
const SIGNAL_MAX = 64;

const APPLY: { [K in Kinds]: Apply<K> } = {
  MAINTAINER(state, { author }) {
    state.author = author;
    return `MAINTAINER ${author}`;
  },
  ENV({ env }, { pairs }) {
    for (const { key, value } of pairs) env.set(key, `${key}=${value}`);
    return `ENV ${pairs.map(({ key, value }) => `${key}=${value}`).join(" ")}`;
  },
  LABEL({ config }, { pairs }) {
    config.Labels ??= {};
    for (const { key, value } of pairs) put(config.Labels, key, value);
    return `LABEL ${pairs.map(({ key, value }) => `${key}=${value}`).join(" ")}`;
  },
  CMD(state, { command }) {
    const words = commandWords(state, command);
    state.config.Cmd = words;
    state.config.ArgsEscaped = true;
    state.commandSet = true;
    return `CMD ${goQuotedList(words)}`;
  },
  ENTRYPOINT(state, { command }) {
    const words = commandWords(state, command);
    state.config.Entrypoint = words.length === 0 ? null : words;
    if (!state.commandSet) state.config.Cmd = null; // one of the base no longer fits
    return `ENTRYPOINT ${goQuotedList(words)}`;
  },
  EXPOSE(state, { ports: words }) {
    const ports = words.flatMap((word) => exposedPort(word).ports);
    state.portsNamed += ports.length;
    if (state.portsNamed > exposedPortsMax) {
      throw new TextFault(`EXPOSE names more than ${exposedPortsMax} ports`);
    }
    state.config.ExposedPorts ??= {};
    for (const port of ports) state.config.ExposedPorts[port] = {};
    return `EXPOSE ${goList(ports)}`;
  },
  HEALTHCHECK({ config }, { health }) {
    config.Healthcheck = health;
    return `HEALTHCHECK ${goQuotedHealth(health)}`;
  },
  ONBUILD({ config }, { expression }) {
    config.OnBuild = [...(config.OnBuild ?? []), expression];
    return undefined; // BuildKit writes no history for it
  },
  SHELL({ config }, { shell }) {
    config.Shell = shell;
    return `SHELL ${goList(shell)}`;
  },
  STOPSIGNAL({ config }, { signal }) {
    if (!isSignal(signal)) {
      throw new TextFault(`invalid signal: ${signal}`, 0, 0, "write a name such as SIGTERM");
    }
    config.StopSignal = signal;
    return `STOPSIGNAL ${signal}`;
  },
  USER({ config }, { user }) {
    config.User = user;
    return `USER ${user}`;
  },
  VOLUME({ config }, { paths }) {
    if (paths.includes("")) throw new TextFault("VOLUME specified can not be an empty string");
    config.Volumes ??= {};
    for (const path of paths) put(config.Volumes, path, {});
    return `VOLUME ${goList(paths)}`;
  },
  WORKDIR({ config }, { path }) {
    config.WorkingDir = resolvePath(config.WorkingDir || "/", path);
    return `WORKDIR ${config.WorkingDir}`;
  },
};

function isSignal(text: string): boolean {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= SIGNAL_MAX;
  const name = text.toUpperCase().replace(/^SIG/, "");
  return SIGNALS.has(name) || REAL_TIME.test(name);
}

/** Applies an expanded instruction; returns its history line, if it has one. */
export function applyInstruction(
  state: ConfigState,
  instruction: ConfigInstruction,
): string | undefined {
  return (APPLY[instruction.kind] as Apply<Kinds>)(state, instruction);
}

/** The shell that a shell form runs in. */
export function shellOf({ config, os }: Pick<ConfigState, "config" | "os">): string[] {
  if (config.Shell?.length) return config.Shell;
  return os === "windows" ? ["cmd", "/S", "/C"] : ["/bin/sh", "-c"];
}

function commandWords(state: ConfigState, command: CommandLine): string[] {
  return command.form === "exec" ? command.words : [...shellOf(state), command.text];
}

/** Names come from a stranger: "__proto__" is one like any other. */
function put<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

/** The state that a config starts with; the config itself is not touched. */
export function startConfig(config: ContainerConfig, os: string): ConfigState {
  const copy = structuredClone(config);
  const env = new Map((copy.Env ?? []).map((entry) => [entry.split("=", 1)[0]!, entry]));
  return { config: copy, env, os, commandSet: false, portsNamed: 0 };
}

/** The config with all changes in it. */
export function finishConfig({ config, env }: ConfigState): ContainerConfig {
  if (env.size > 0) config.Env = [...env.values()];
  return config;
}
