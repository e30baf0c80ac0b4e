// Targets of a bake file as options of builds. Linked contexts are left to run-targets.ts.

import { join } from "node:path";
import { GantryError, parseRamBytes } from "../../../../base/index.ts";
import { isRemote } from "../request/inputs.ts";
import {
  type BuildOptions,
  extraHost,
  platformsOf,
  withAnnotations,
  withEpoch,
  withShorthands,
} from "../request/options.ts";
import {
  addAttestation,
  invalid,
  parseCache,
  parseCall,
  parseOutput,
  parseSecret,
  parseSsh,
} from "../request/specs.ts";
import type { Resolved } from "./resolve.ts";
import type { BakeTarget } from "./target.ts";

export interface Switches {
  all: { push: boolean; load: boolean };
  own: ReadonlyMap<string, { push?: boolean; load?: boolean }>;
}
interface Surroundings {
  environment: Readonly<Record<string, string | undefined>>;
  switches: Switches;
  explain: boolean;
  /** --allow: what targets may ask for. */
  allow: readonly string[];
}

export function targetOptions(
  { targets, wanted }: Resolved,
  o: Surroundings,
): Map<string, BuildOptions> {
  const all = new Map<string, BuildOptions>();
  for (const [name, target] of targets) {
    const switches = { ...o.switches.all, ...o.switches.own.get(name) };
    checkPrivileges(name, target, o.allow);
    const options = optionsOf(target, { ...o, switches });
    // What is only linked leaves nothing behind but what it is linked into.
    all.set(
      name,
      wanted.has(name) ? options : { ...options, outputs: [{ type: "cacheonly", attrs: {} }] },
    );
  }
  return all;
}

/** A bake file is somebody else's at times: what it wants beyond a build the caller must allow. */
function checkPrivileges(name: string, target: BakeTarget, allow: readonly string[]): void {
  const wanted = [
    ...(target.entitlements ?? []),
    ...(target.network === "host" ? ["network.host"] : []),
  ];
  const missing = [...new Set(wanted)].filter((one) => !allow.includes(one));
  if (missing.length === 0) return;
  const flags = missing.map((one) => `--allow ${one}`).join(" ");
  throw new GantryError(
    "forbidden",
    `target ${name} asks for ${missing.join(", ")}: give ${flags} if it shall have that`,
  );
}

function optionsOf(
  target: BakeTarget,
  {
    environment,
    switches,
    explain,
  }: Omit<Surroundings, "switches"> & { switches: { push: boolean; load: boolean } },
): BuildOptions {
  const context = (target.context ?? ".").replace(/^cwd:\/\//, "");
  const { dockerfile = "Dockerfile" } = target;
  if (context === "-") throw invalid("context from stdin not allowed in bake");
  if (dockerfile === "-") throw invalid("dockerfile from stdin not allowed in bake");
  const attestations = new Map<string, string | undefined>();
  for (const text of target.attest ?? []) addAttestation(attestations, text);
  return {
    context,
    file: dockerfilePath(context, dockerfile),
    dockerfileInline: target["dockerfile-inline"],
    namedContexts: Object.fromEntries(
      Object.entries(target.contexts ?? {})
        .filter(([, value]) => !value.startsWith("target:"))
        .map(([name, value]) => [name, value.replace(/^cwd:\/\//, "")]),
    ),
    tags: target.tags ?? [],
    labels: withoutNull(target.labels),
    buildArgs: withEpoch(withoutNull(target.args), environment),
    target: target.target ?? "",
    platforms: platformsOf(target.platforms ?? [], environment),
    pull: target.pull ?? false,
    noCache: target["no-cache"] ?? false,
    noCacheFilter: target["no-cache-filter"] ?? [],
    network: target.network ?? "",
    addHosts: Object.entries(target["extra-hosts"] ?? {}).map(([name, address]) =>
      extraHost(`${name}=${address}`),
    ),
    shmSize: target["shm-size"] === undefined ? 0 : parseRamBytes(target["shm-size"]),
    ulimits: target.ulimits ?? [],
    cgroupParent: "",
    limits: {},
    allow: target.entitlements ?? [],
    secrets: (target.secret ?? []).map(parseSecret),
    ssh: (target.ssh ?? []).map(parseSsh),
    cacheFrom: (target["cache-from"] ?? []).map(parseCache),
    cacheTo: (target["cache-to"] ?? []).map(parseCache),
    outputs: withAnnotations(
      withShorthands((target.output ?? []).map(parseOutput), switches),
      target.annotations ?? [],
    ),
    attestations,
    call: target.call === undefined ? undefined : parseCall(target.call),
    explain,
    debug: false,
  };
}

/** Bake's Dockerfiles are looked for in the context. */
function dockerfilePath(context: string, dockerfile: string): string {
  if (dockerfile.startsWith("cwd://")) return dockerfile.slice("cwd://".length);
  if (isRemote(dockerfile) || dockerfile.startsWith("/")) return dockerfile;
  if (isRemote(context)) return dockerfile === "Dockerfile" ? "" : dockerfile;
  // Alone it would be sought in the caller's folder.
  const path = join(context, dockerfile);
  return dockerfile === "Dockerfile" ? "" : path;
}

function withoutNull(
  map: Readonly<Record<string, string | null>> | undefined,
): Record<string, string> {
  const entries = Object.entries(map ?? {}).filter(([, value]) => value !== null);
  return Object.fromEntries(entries) as Record<string, string>;
}
