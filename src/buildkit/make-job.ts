// A client's request as a job of the engine's: attributes, contexts, session, cache and outputs.

import { GantryError } from "../base/index.ts";
import type {
  BuildJob,
  CachePlace,
  ContextSource,
  EngineDoors,
  OutputRequest,
} from "../engine/index.ts";
import type { control, gateway, ops, policy } from "../gen/buildkit/index.ts";
import type { ClientSession } from "./client-session.ts";
import { type Attributes, readAttributes } from "./job-attributes.ts";
import { readSources } from "./job-sources.ts";
import { readMarker } from "./result-marker.ts";
import type { Sessions } from "./sessions.ts";
import type { Solve, Solves } from "./solves.ts";

export interface ServicePlace {
  engine: EngineDoors;
  serverVersion: string;
  sessions: Sessions;
  solves: Solves;
}

const FRONT_END = "dockerfile.v0";
const GATEWAY = "gateway.v0";
/** Every version of the Dockerfile language is served by the built-in front end. */
const DOCKERFILE_IMAGES = /^(docker\.io\/)?docker\/dockerfile(-upstream)?([:@].*)?$/;
/** The config file's key for Docker Hub, which clients look credentials up by. */
const HUB_KEY = "https://index.docker.io/v1/";
export const HUB_HOSTS = ["docker.io", "index.docker.io", HUB_KEY];

export interface Question {
  frontend: string;
  attributes: Attributes;
  inputs: Readonly<Record<string, ops.Definition>>;
  cacheImports: readonly CachePlace[];
  policies: readonly policy.Policy[];
}

/** Throws not-implemented for what is no Dockerfile. */
function checkFrontEnd({ frontend, attributes, policies }: Question): void {
  if (policies.some(({ rules }) => rules.length > 0)) {
    throw new GantryError("not-implemented", "source policies are not supported");
  }
  if (frontend !== FRONT_END && frontend !== GATEWAY) {
    throw new GantryError("not-implemented", `the front end ${frontend} is not supported`);
  }
  const source = attributes["source"] ?? "";
  if (source === "" && frontend === FRONT_END) return;
  if (DOCKERFILE_IMAGES.test(source)) return;
  throw new GantryError(
    "not-implemented",
    `the front end ${JSON.stringify(source)} is not supported: Dockerfiles are built by Gantry itself`,
  );
}

/** The session that a request names; undefined when it names none. */
export async function sessionOf(
  { sessions }: ServicePlace,
  solve: Solve,
): Promise<ClientSession | undefined> {
  const { session } = solve.request;
  if (session === "") return undefined;
  return await sessions.get(session, { signal: solve.signal });
}

/** A job without outputs. */
export async function makeJob(
  place: ServicePlace,
  solve: Solve,
  question: Question,
): Promise<BuildJob> {
  const { request } = solve;
  checkFrontEnd(question);
  const { attributes } = question;
  const { signal } = solve;
  const session = await sessionOf(place, solve);
  const { cacheImports, ...settings } = readAttributes(attributes, request.entitlements);
  const sources = await readSources({
    ...{ attributes, session, signal },
    otherSession: (id) => place.sessions.get(id, { signal }),
    input: (name) => inputSource(place, question, name),
  });
  return {
    ref: solve.ref,
    ...sources,
    ...settings,
    entitlements: request.entitlements,
    credentials: async (host, o) => await session?.credentials(clientHost(host), o),
    session,
    cacheFrom: [...importsOf(request.cache), ...question.cacheImports, ...cacheImports],
    cacheTo: exportsOf(request.cache),
    outputs: [],
    isInternal: request.internal,
    attrs: attributes,
  };
}

const clientHost = (host: string): string => (HUB_HOSTS.includes(host) ? HUB_KEY : host);

/** Another build's outcome, that bake hands on from target to target. */
function inputSource({ solves }: ServicePlace, { inputs }: Question, name: string): ContextSource {
  const definition = inputs[name];
  const id = definition && readMarker(definition);
  const found = id === undefined ? undefined : solves.result(id);
  if (found) return { kind: "build", job: found.job };
  throw new GantryError(
    "not-implemented",
    `the input ${JSON.stringify(name)} is no result of a build that runs: definitions of a ` +
      "client's own are not supported",
  );
}

function importsOf(cache: control.CacheOptions | undefined): CachePlace[] {
  if (!cache) return [];
  const old = cache.importRefs.map((ref) => ({ type: "registry", attrs: { ref } }));
  return [...old, ...cache.imports.map(({ type, attrs }) => ({ type, attrs }))];
}

function exportsOf(cache: control.CacheOptions | undefined): CachePlace[] {
  if (!cache) return [];
  const { exportRef, exportAttrs } = cache;
  const old = exportRef ? [{ type: "registry", attrs: { ...exportAttrs, ref: exportRef } }] : [];
  return [...old, ...cache.exports.map(({ type, attrs }) => ({ type, attrs }))];
}

export function cacheImportsOf(entries: readonly gateway.CacheOptionsEntry[]): CachePlace[] {
  return entries.map(({ type, attrs }) => ({ type, attrs }));
}

/** What the client wants to have of the build. */
export function outputsOf({
  exporters,
  exporter,
  exporterAttrs,
}: control.SolveRequest): OutputRequest[] {
  const old = exporter === "" ? [] : [{ type: exporter, attrs: exporterAttrs }];
  const asked = exporters.length > 0 ? exporters : old;
  return asked.map(({ type, attrs }, index) => ({
    ...{ type, exporter: String(index) },
    attrs: withoutLoad(attrs),
  }));
}

/** Compose asks for the image to be loaded where it is built anyway. */
function withoutLoad({ load, ...others }: Attributes): Attributes {
  return load === undefined || load === "true" ? others : { load, ...others };
}
