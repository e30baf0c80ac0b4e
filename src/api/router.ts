// One request, parsed once: version prefix, row of the route table, query, body; then the
// handler. Everything that goes wrong on the way is an error with docker's status and wording.

import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import {
  API_VERSION_MAX,
  type ApiVersion,
  acceptVersion,
  type CompiledRoute,
  compileRoutes,
  parseQuery,
  type RefusedRoute,
  type Routes,
  refusedRoutes,
  routes,
} from "../protocol/index.ts";
import { readJson } from "./body.ts";
import type { ApiOptions, Call, Handlers } from "./call.ts";
import { explainFullDisk } from "./full-disk.ts";
import { refuse } from "./refusals.ts";
import type { Reply } from "./reply.ts";

const VERSION_PREFIX = /^\/v([0-9.]+)(\/.*)$/s;
const compiled = compileRoutes(routes);
const refused = compileRoutes(
  Object.fromEntries(
    refusedRoutes.map((route, index) => [
      String(index),
      { method: route.method, path: route.path, answer: "json" } as const,
    ]),
  ),
);

/** A request whose route is known. */
export interface Routed {
  name: keyof Routes | undefined;
  route: CompiledRoute | undefined;
  params: Record<string, string>;
  asked: string | undefined;
  path: string;
  search: string;
  /** Why there is no handler to call. */
  failure?: GantryError;
  /** A route that is known and not served. */
  refused?: RefusedRoute;
  /** Where the client shall ask: the path was not clean. */
  moved?: string;
}

/** Finds the row for a request. Never throws: a failure is part of the result, so that the
 * answer can still carry the right headers. */
export function findRoute(method: string, url: string): Routed {
  const question = url.indexOf("?");
  const search = question < 0 ? "" : url.slice(question + 1);
  const base = { name: undefined, route: undefined, params: {}, asked: undefined, search };
  const raw = question < 0 ? url : url.slice(0, question);
  const clean = cleanPath(raw);
  if (clean !== raw) return { ...base, path: raw, moved: `${clean}${url.slice(raw.length)}` };
  let path: string;
  try {
    path = decodeURIComponent(raw);
  } catch {
    return { ...base, path: url, failure: new GantryError("invalid", "malformed request path") };
  }
  const versioned = VERSION_PREFIX.exec(path);
  const asked = versioned?.[1];
  const bare = versioned?.[2] ?? path;
  const found = compiled.find(method, bare);
  if (found === undefined || !isNormalised(bare)) {
    return { ...base, path: bare, asked, ...refusal(method, bare) };
  }
  const name = found.route.name as keyof Routes;
  return { name, route: found.route, params: found.params, asked, path: bare, search };
}

/** The handler takes the request's body as it comes. */
export const isStream = ({ route }: Routed): boolean => route?.spec.body === "stream";

/** As dockerd's router: without empty parts, `.` and `..`; a last slash stays. */
function cleanPath(path: string): string {
  if (!path.startsWith("/") || !/\/(\.{0,2})(\/|$)/.test(path.slice(0, -1))) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}${path.endsWith("/") && parts.length > 0 ? "/" : ""}`;
}

// `/containers//json` must not reach a handler with an empty reference.
function isNormalised(path: string): boolean {
  return !path.startsWith("//") && !/^\/(containers|exec|images|networks|volumes)\/\//.test(path);
}

function refusal(method: string, path: string): Pick<Routed, "failure" | "refused" | "params"> {
  const found = refused.find(method, path);
  const row = found === undefined ? undefined : refusedRoutes[Number(found.route.name)];
  if (found !== undefined && row !== undefined) return { refused: row, params: found.params };
  return { params: {}, failure: new GantryError("not-found", "page not found") };
}

/** Headers of every answer. */
export function commonHeaders(options: ApiOptions): Record<string, string> {
  return {
    "Api-Version": API_VERSION_MAX,
    "Docker-Experimental": String(options.experimental ?? false),
    Ostype: "linux",
    Server: `Gantry/${options.serverVersion} (linux)`,
  };
}

/** Parses what the row declares and calls the handler. */
export async function dispatch(
  routed: Routed,
  handlers: Handlers,
  options: ApiOptions,
  input: { request: IncomingMessage; body: Readable; signal: AbortSignal; upgrade: boolean },
): Promise<Reply> {
  if (routed.moved !== undefined) {
    return { kind: "empty", status: 301, headers: { Location: routed.moved } };
  }
  const version = acceptVersion(
    routed.asked,
    options.minApiVersion === undefined ? {} : { min: options.minApiVersion },
  );
  if (input.request.method === "OPTIONS") return { kind: "empty", status: 200 };
  if (routed.refused !== undefined) {
    const { refused: row, params, search } = routed;
    const { body, request } = input;
    throw await refuse({ row, params, search, body, headers: request.headers });
  }
  if (routed.failure !== undefined || routed.route === undefined || routed.name === undefined) {
    throw routed.failure ?? new GantryError("not-found", "page not found");
  }
  const { spec } = routed.route;
  requireVersion(spec, version);
  const query = parseQuery(spec.query ?? {}, new URLSearchParams(routed.search));
  const { headers } = input.request;
  const body =
    spec.body === "stream"
      ? input.body
      : spec.body === undefined
        ? undefined
        : await readJson(spec.body, input.body, headers);
  const { params } = routed;
  const { signal, upgrade } = input;
  const call = { params, query, body, version, headers, signal, upgrade };
  const handler = handlers[routed.name] as (call: Call<unknown>) => Promise<Reply> | Reply;
  try {
    return await handler(call as unknown as Call<unknown>);
  } catch (error) {
    return await explainFullDisk(options.engine, error);
  }
}

function requireVersion(
  spec: { method: string; path: string; since?: string },
  version: ApiVersion,
): void {
  if (spec.since === undefined || version.atLeast(spec.since)) return;
  throw new GantryError(
    "invalid",
    `${spec.method} ${spec.path} requires minimum API version ${spec.since}`,
  );
}
