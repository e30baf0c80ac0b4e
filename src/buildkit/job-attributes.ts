// A front end's attributes, read: each is taken into the job, or refused by name. Nothing that a
// client says is passed over.

import { GantryError, splitCsv } from "../base/index.ts";
import type { BuildJob, CachePlace } from "../engine/index.ts";
import { normalizePlatform, type Platform, readPlatform, type Ulimit } from "../spec/index.ts";

export type Attributes = Readonly<Record<string, string>>;

/** What the attributes say of everything but the contexts. */
export type JobSettings = Pick<
  BuildJob,
  | "target"
  | "buildArgs"
  | "labels"
  | "platforms"
  | "pull"
  | "noCache"
  | "hostConfig"
  | "attest"
  | "vcs"
  | "explain"
  | "keepFailed"
> & { cacheImports: readonly CachePlace[] };

/** Read elsewhere (contexts, Dockerfile, subrequests), or without any effect on a build. */
const OTHERS = [
  ...["filename", "dockerfilekey", "contextkey", "context", "contextsubdir", "requestid"],
  // What the client's front end can do.
  ...["frontend.caps", "source", "cmdline", "multi-platform", "override-copy-image"],
];
const OTHER_PREFIXES = ["context:", "input-metadata:", "local-sessionid:", "build-arg:", "label:"];
const OTHER_PREFIXES_READ = ["attest:", "vcs:"];

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
export const hostPlatform = (): Platform =>
  normalizePlatform({ os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch });

/** Throws invalid or not-implemented for an attribute that cannot be done. */
export function readAttributes(
  attributes: Attributes,
  entitlements: readonly string[],
): JobSettings {
  const rest = new Map(Object.entries(attributes));
  const take = (name: string): string | undefined => {
    const value = rest.get(name);
    rest.delete(name);
    return value;
  };
  const platform = take("platform") ?? "";
  const target = take("target");
  const hostname = take("hostname");
  const noCache = take("no-cache");
  const buildArgs = prefixed(attributes, "build-arg:");
  const settings = {
    target: target === "" ? undefined : target,
    buildArgs: hostname ? { ...buildArgs, BUILDKIT_SANDBOX_HOSTNAME: hostname } : buildArgs,
    labels: prefixed(attributes, "label:"),
    platforms: csv(platform).map((text) => readPlatform(text, hostPlatform())),
    pull: pulls(take("image-resolve-mode")),
    noCache: noCache === undefined ? false : noCache === "" ? true : csv(noCache),
    hostConfig: {
      ...stepLimits(take("gantry:limits")),
      ShmSize: integer("shm-size", take("shm-size")),
      CgroupParent: take("cgroup-parent") ?? "",
      Ulimits: csv(take("ulimit") ?? "").map(ulimit),
      ExtraHosts: csv(take("add-hosts") ?? "").map(extraHost),
      NetworkMode: networkMode(take("force-network-mode"), entitlements),
    },
    attest: attestations(attributes),
    vcs: prefixed(attributes, "vcs:"),
    explain: bool("gantry:explain", take("gantry:explain")),
    keepFailed: bool("gantry:debug", take("gantry:debug")),
    cacheImports: cacheImports(take("cache-imports"), take("cache-from")),
  } satisfies JobSettings;
  for (const name of rest.keys()) refuseUnknown(name);
  return settings;
}

function refuseUnknown(name: string): void {
  if (OTHERS.includes(name)) return;
  const known = [...OTHER_PREFIXES, ...OTHER_PREFIXES_READ];
  if (known.some((prefix) => name.startsWith(prefix))) return;
  const shown = JSON.stringify(name);
  throw new GantryError("not-implemented", `the build attribute ${shown} is not supported`);
}

/** Attributes of a kind, by the name behind their prefix. */
export function prefixed(attributes: Attributes, prefix: string): Record<string, string> {
  const found = Object.entries(attributes).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length), value]));
}

function csv(text: string): string[] {
  if (text === "") return [];
  return splitCsv(text).filter((item) => item !== "");
}

function pulls(mode: string | undefined): boolean {
  if (mode === "pull") return true;
  if (mode === undefined || mode === "default" || mode === "local") return false;
  throw new GantryError("invalid", `invalid image-resolve-mode: ${mode}`);
}

function networkMode(mode: string | undefined, entitlements: readonly string[]): string {
  if (mode === undefined || mode === "sandbox" || mode === "") return "default";
  if (mode === "none") return "none";
  if (mode !== "host") throw new GantryError("invalid", `invalid netmode ${mode}`);
  if (entitlements.includes("network.host")) return "host";
  throw new GantryError("forbidden", "network.host is not allowed");
}

function integer(name: string, text: string | undefined): number {
  if (text === undefined || text === "") return 0;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new GantryError("invalid", `invalid value for ${name}: ${JSON.stringify(text)}`);
}

function bool(name: string, text: string | undefined): boolean {
  if (text === undefined) return false;
  if (["1", "t", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "false", "FALSE", "False", ""].includes(text)) return false;
  throw new GantryError("invalid", `invalid value for ${name}: ${JSON.stringify(text)}`);
}

const LIMIT_NUMBERS = ["Memory", "MemorySwap", "CpuShares", "CpuPeriod", "CpuQuota"];
const LIMIT_TEXTS = ["CpusetCpus", "CpusetMems"];

/** What `gantry build --memory` and its like ask for: some fields of HostConfig, as JSON. */
function stepLimits(json: string | undefined): BuildJob["hostConfig"] {
  if (json === undefined) return {};
  let limits: unknown;
  try {
    limits = JSON.parse(json);
  } catch (cause) {
    throw new GantryError("invalid", "gantry:limits is no JSON", { cause });
  }
  for (const [name, value] of Object.entries(limits ?? {})) {
    const isKnown =
      (LIMIT_NUMBERS.includes(name) && Number.isSafeInteger(value)) ||
      (LIMIT_TEXTS.includes(name) && typeof value === "string");
    if (!isKnown) throw new GantryError("invalid", `gantry:limits has no ${name} of that kind`);
  }
  return limits as BuildJob["hostConfig"];
}

/** "nofile=1024:2048" */
function ulimit(text: string): Ulimit {
  const parts = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!parts) throw new GantryError("invalid", `invalid ulimit argument: ${text}`);
  const [, Name = "", soft = "", hard = soft] = parts;
  return { Name, Soft: Number(soft), Hard: Number(hard) };
}

/** "name=address", as HostConfig has "name:address". */
function extraHost(text: string): string {
  const at = text.indexOf("=");
  if (at <= 0) throw new GantryError("invalid", `invalid host ${JSON.stringify(text)}`);
  return `${text.slice(0, at)}:${text.slice(at + 1)}`;
}

function attestations(attributes: Attributes): BuildJob["attest"] {
  const found = new Map<string, Readonly<Record<string, string>>>();
  for (const [name, text] of Object.entries(prefixed(attributes, "attest:"))) {
    const pairs = csv(text).map((pair) => {
      const at = pair.indexOf("=");
      return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    });
    const { disabled, ...settings } = Object.fromEntries(pairs) as Record<string, string>;
    if (!bool(`attest:${name}`, disabled)) found.set(name, settings);
  }
  return found;
}

function cacheImports(json: string | undefined, references: string | undefined): CachePlace[] {
  const old = csv(references ?? "").map((ref) => ({ type: "registry", attrs: { ref } }));
  if (json === undefined || json === "") return old;
  let entries: unknown;
  try {
    entries = JSON.parse(json);
  } catch (cause) {
    throw new GantryError("invalid", "failed to unmarshal cache-imports", { cause });
  }
  if (!Array.isArray(entries)) throw new GantryError("invalid", "cache-imports is no list");
  return [...old, ...entries.map(cachePlace)];
}

function cachePlace(entry: unknown): CachePlace {
  const { Type, Attrs } = (entry ?? {}) as { Type?: unknown; Attrs?: unknown };
  const attrs = Object.entries((Attrs ?? {}) as object);
  if (typeof Type !== "string" || attrs.some(([, value]) => typeof value !== "string")) {
    throw new GantryError("invalid", "cache-imports has an entry without a type");
  }
  return { type: Type, attrs: Object.fromEntries(attrs) as Record<string, string> };
}
