// Which variables an instruction sees. Before the first FROM: the platform's own, then the global
// ARGs; FROM sees those. In a stage: what the base left, then ARG and ENV in the order in which
// they stand, the later one winning, as BuildKit does it (docs/decisions/0070).

import type { Platform } from "../../spec/index.ts";
import { normalizePlatform, writePlatform } from "../../spec/index.ts";
import { errorAt, TextFault } from "./dockerfile-error.ts";
import { type EscapeToken, type Expansion, expandText, type Variables } from "./shell-lexer.ts";
import type { Arg, Dockerfile } from "./syntax-tree.ts";

export type BuildArgs = Readonly<Record<string, string>>;

/** Usable by RUN without ARG; in no history and no cache key. */
export const PROXY_ARGS: readonly string[] = [
  "HTTP_PROXY",
  "http_proxy",
  "HTTPS_PROXY",
  "https_proxy",
  "FTP_PROXY",
  "ftp_proxy",
  "NO_PROXY",
  "no_proxy",
  "ALL_PROXY",
  "all_proxy",
];
/** Read by the builder itself; they are no variables of a stage unless an ARG names them. */
export const BUILDER_ARGS: readonly string[] = [
  "BUILDKIT_BUILD_NAME",
  "BUILDKIT_CACHE_MOUNT_NS",
  "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
  "BUILDKIT_DOCKERFILE_CHECK",
  "BUILDKIT_INLINE_CACHE",
  "BUILDKIT_MULTI_PLATFORM",
  "BUILDKIT_SANDBOX_HOSTNAME",
  "BUILDKIT_SBOM_SCAN_CONTEXT",
  "BUILDKIT_SBOM_SCAN_STAGE",
  "BUILDKIT_SYNTAX",
  "SOURCE_DATE_EPOCH",
];
/** ARGs that steer the builder and never become a variable of RUN. */
export const NOT_IN_ENVIRONMENT: readonly string[] = [
  "BUILDKIT_SBOM_SCAN_CONTEXT",
  "BUILDKIT_SBOM_SCAN_STAGE",
];

export interface GlobalScope {
  values: ReadonlyMap<string, string>;
  /** Declared by an ARG before the first FROM, with or without a value. */
  declared: ReadonlySet<string>;
}
export interface ScopeOptions {
  buildArgs: BuildArgs;
  buildPlatform: Platform;
  targetPlatform: Platform;
  /** The name of the stage that is asked for; "default" stands for the last one without a name. */
  targetStage: string;
}

/** The variables of FROM. Throws what an ARG's default throws. */
export function globalScope(file: Dockerfile, options: ScopeOptions): GlobalScope {
  const values = platformArgs(options);
  const declared = new Set<string>();
  for (const instruction of file.globalArgs) {
    for (const { name, value } of instruction.args) {
      declared.add(name);
      const given = ownValue(options.buildArgs, name);
      if (given !== undefined) values.set(name, given);
      else if (value !== undefined) {
        values.set(name, expandAt(file, instruction, value, values).text);
      }
    }
  }
  return { values, declared };
}

function platformArgs(options: ScopeOptions): Map<string, string> {
  const values = new Map<string, string>();
  const put = (name: string, value: string) =>
    values.set(name, ownValue(options.buildArgs, name) ?? value);
  for (const [prefix, given] of [
    ["BUILD", options.buildPlatform],
    ["TARGET", options.targetPlatform],
  ] as const) {
    const platform = normalizePlatform(given);
    put(`${prefix}PLATFORM`, writePlatform(platform));
    put(`${prefix}OS`, platform.os);
    put(`${prefix}OSVERSION`, "");
    put(`${prefix}ARCH`, platform.architecture);
    put(`${prefix}VARIANT`, platform.variant ?? "");
  }
  put("TARGETSTAGE", options.targetStage);
  return values;
}

/** Build arguments come from a client: "constructor" is not one unless it was given. */
export function ownValue(args: BuildArgs, name: string): string | undefined {
  return Object.hasOwn(args, name) ? args[name] : undefined;
}

/** Expands a text of an instruction; a fault gets the instruction's place. */
export function expandAt(
  file: Pick<Dockerfile, "source" | "escape">,
  instruction: Pick<Arg, "range">,
  text: string,
  variables: Variables,
  options: { ignoreQuotes?: boolean; escape?: EscapeToken } = {},
): Expansion {
  try {
    return expandText(text, variables, { escape: file.escape, ...options });
  } catch (error) {
    throw faultAt(file, instruction, error);
  }
}

/** A fault of a reader as an error with the place of `instruction`; other errors unchanged. */
export function faultAt(
  file: Pick<Dockerfile, "source">,
  { range }: Pick<Arg, "range">,
  error: unknown,
): unknown {
  if (!(error instanceof TextFault)) return error;
  const remedy = error.remedy === undefined ? {} : { remedy: error.remedy };
  return errorAt({ source: file.source, range, ...remedy }, error.message);
}
