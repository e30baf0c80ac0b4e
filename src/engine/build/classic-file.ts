// What the classic builder is given: its one context, the Dockerfile in it, and the plan that the
// request asks for, with errors in that builder's words.

import { GantryError } from "../../base/index.ts";
import {
  type BuildPlan,
  type Dockerfile,
  IgnoreMatcher,
  isGit,
  parseDockerfile,
  placeOf,
  planBuild,
  readIgnoreFile,
} from "../../build/index.ts";
import { readPlatform } from "../../spec/index.ts";
import { hostPlatform } from "../images/find.ts";
import type { ContextSource } from "./job.ts";
import type { BuildRequest } from "./request.ts";
import type { Workspace } from "./workspace.ts";

const DOCKERFILE_BYTES_MAX = 2 * 1024 * 1024;
const IGNORE_BYTES_MAX = 4 * 1024 * 1024;

/** The body, or what an address leads to (`remote`). */
export function contextOf({ context, remote = "" }: BuildRequest): ContextSource {
  if (remote === "") return { kind: "stream", bytes: context };
  context.resume(); // it is empty
  if (isGit(remote)) return { kind: "git", url: remote };
  if (/^https?:\/\//.test(remote)) return { kind: "http", url: remote };
  const message = `remote context ${JSON.stringify(remote)} is no address of a repository or a file`;
  throw new GantryError("invalid", message);
}

/** The Dockerfile is read from the context, then left out of it where .dockerignore says so. */
export async function readDockerfile(
  workspace: Workspace,
  { dockerfile }: BuildRequest,
  signal: AbortSignal,
): Promise<Dockerfile> {
  const context = { kind: "context", name: "" } as const;
  if (dockerfile.split("/").includes("..")) {
    const message = `the Dockerfile (${dockerfile}) must be within the build context`;
    throw new GantryError("invalid", message);
  }
  const read = (path: string, bytesMax: number) =>
    workspace.readFile(context, `/${path}`, { signal, bytesMax });
  const names = dockerfile === "Dockerfile" ? [dockerfile, "dockerfile"] : [dockerfile];
  let bytes: Buffer | undefined;
  for (const name of names) bytes ??= await read(name, DOCKERFILE_BYTES_MAX);
  if (bytes === undefined) {
    throw new GantryError("invalid", `Cannot locate specified Dockerfile: ${dockerfile}`);
  }
  const ignore = await read(".dockerignore", IGNORE_BYTES_MAX);
  if (ignore) leaveOut(workspace, ignore, [dockerfile, ".dockerignore"]);
  try {
    return parseDockerfile(bytes, dockerfile);
  } catch (error) {
    throw withPlace(error);
  }
}

/** The client leaves out everything else that is ignored, but must send these. */
function leaveOut(workspace: Workspace, ignore: Buffer, paths: readonly string[]): void {
  const matcher = new IgnoreMatcher(readIgnoreFile(ignore));
  const ignored = new Set(paths.filter((path) => matcher.ignores(path)));
  workspace.changeContext("", {
    ignored: (path) => matcher.ignores(path),
    ...(ignored.size > 0 && { drops: (path: string) => ignored.has(path) }),
  });
}

/** Errors of the language with the place that they speak of, in the classic builder's words. */
export function withPlace(error: unknown): unknown {
  const place = placeOf(error);
  if (!(error instanceof GantryError) || place === undefined) return error;
  const start = /^dockerfile parse error/.test(error.message)
    ? ""
    : `dockerfile parse error on line ${place.line}: `;
  const remedy = place.remedy === undefined ? "" : `\n${place.remedy}`;
  const message = `${start}${error.message}\n${place.excerpt}${remedy}`.trimEnd();
  return new GantryError("invalid", message, { cause: error, detail: error.detail });
}

export function planned(file: Dockerfile, request: BuildRequest): BuildPlan {
  const host = hostPlatform();
  const given = Object.entries(request.buildArgs).filter(([, value]) => value !== null);
  try {
    return planBuild(file, {
      buildArgs: Object.fromEntries(given) as Record<string, string>,
      ...(request.target && { target: request.target }),
      buildPlatform: host,
      ...(request.platform && { targetPlatform: readPlatform(request.platform, host) }),
    });
  } catch (error) {
    throw withPlace(error);
  }
}
