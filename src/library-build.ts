// A build as a program asks for it that embeds the engine: a folder, names, arguments. Everything
// else of a job has its default; whoever wants more calls `engine.builds.solve`.

import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import type { BuildEvent, BuildJob, Credentials } from "./engine/index.ts";
import { normalizePlatform, readPlatform } from "./spec/index.ts";

/** Node's names, where they are not those of images. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export interface BuildOptions {
  /** A folder of this machine. */
  context: string;
  /** In the context. Default: Dockerfile. */
  dockerfile?: string;
  /** Names of the image; none: it has only its id. */
  tags?: readonly string[];
  target?: string;
  buildArgs?: Readonly<Record<string, string>>;
  labels?: Readonly<Record<string, string>>;
  /** "linux/arm64"; several make an index. Default: this machine's. */
  platforms?: readonly string[];
  pull?: boolean;
  noCache?: boolean | readonly string[];
  /** Limits, hosts and network of the steps. */
  hostConfig?: BuildJob["hostConfig"];
  /** For a registry's host. */
  credentials?: (host: string) => Promise<Credentials | undefined>;
  /** Called with what happens, as it happens. */
  onEvent?: (event: BuildEvent) => void;
  signal?: AbortSignal;
}

/** The job of `options`, with the image store as its output. */
export function libraryJob(options: BuildOptions): BuildJob {
  const host = normalizePlatform({
    os: "linux",
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
  });
  const { dockerfile = "Dockerfile", tags = [], platforms = [], credentials } = options;
  const attrs: Record<string, string> = tags.length > 0 ? { name: tags.join(",") } : {};
  return {
    ref: randomUUID(),
    contexts: new Map([["", { kind: "folder", path: resolve(options.context) }]]),
    dockerfile: { context: "", path: dockerfile },
    target: options.target,
    buildArgs: options.buildArgs ?? {},
    labels: options.labels ?? {},
    platforms: platforms.map((text) => readPlatform(text, host)),
    ...{ pull: options.pull ?? false, noCache: options.noCache ?? false },
    ...{ hostConfig: options.hostConfig ?? {}, entitlements: [] },
    credentials: async (registry) => await credentials?.(registry),
    ...{ cacheFrom: [], cacheTo: [], attest: new Map() },
    outputs: [{ type: "image", attrs, exporter: "0" }],
  };
}
