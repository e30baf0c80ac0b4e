// The Dockerfile of a build and what stands beside it: found where the job says, in the client's
// own folder for it or in the context, with the ignore file that belongs to it.

import { GantryError } from "../../base/index.ts";
import type { BuildJob } from "./job.ts";
import type { IgnoreFile, JobContexts } from "./job-contexts.ts";
import type { BuildReport } from "./report.ts";

const DOCKERFILE_BYTES_MAX = 2 * 1024 * 1024;

export interface JobFile {
  name: string;
  bytes: Uint8Array;
  /** The vertex that read it, for warnings. */
  vertex: string;
  /** What is left out of the main context; it may still be on its way. */
  ignore: Promise<IgnoreFile | undefined>;
}

/** Reads it. Throws invalid where there is none. */
export async function readJobFile(
  job: BuildJob,
  contexts: JobContexts,
  report: BuildReport,
): Promise<JobFile> {
  const { dockerfile } = job;
  if ("text" in dockerfile) {
    const { text: bytes, name } = dockerfile;
    const vertex = report.open(`[internal] load build definition from ${name}`);
    vertex.status("transferring dockerfile:", { ...sizes(bytes), done: true });
    vertex.done();
    return { name, bytes, vertex: vertex.digest, ignore: generalIgnore(contexts) };
  }
  const { context, path } = dockerfile;
  if (path.split("/").includes("..")) {
    const message = `the Dockerfile (${path}) must be within the build context`;
    throw new GantryError("invalid", message);
  }
  const vertex = report.open(`[internal] load build definition from ${path}`);
  try {
    const own = [`${path}.dockerignore`, `${path}.containerignore`];
    const names = path === "Dockerfile" ? [path, "dockerfile"] : [path];
    const found = await contexts.files(context, [...names, ...own], {
      ...{ vertex, bytesMax: DOCKERFILE_BYTES_MAX, title: "dockerfile" },
    });
    const bytes = found.slice(0, names.length).find((one) => one !== undefined);
    if (bytes === undefined) {
      throw new GantryError(
        "invalid",
        `failed to read dockerfile: open ${path}: no such file or directory`,
      );
    }
    vertex.done();
    const at = found.findIndex((one, index) => index >= names.length && one !== undefined);
    const ignore = at < 0 ? undefined : { name: own[at - names.length]!, bytes: found[at]! };
    const whole = ignore ? Promise.resolve(ignore) : generalIgnore(contexts);
    return { name: path, bytes, vertex: vertex.digest, ignore: whole };
  } catch (error) {
    vertex.failed(error);
    throw error;
  }
}

function generalIgnore(contexts: JobContexts): Promise<IgnoreFile | undefined> {
  const reading = contexts.ownIgnore("");
  reading.catch(() => {}); // who needs it awaits it
  return reading;
}

const sizes = ({ length }: Uint8Array) => ({ current: length, total: length });
