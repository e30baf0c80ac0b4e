// What a row of the route table says, and how a request's path is matched against the rows.
// `{id}` and `{name}` match greedily, slashes included, because image names contain them; rows
// are tried in order, so a fixed word goes before a parameter.

import type { QuerySpec } from "./query.ts";
import type { Schema } from "./schema.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS";
export interface RouteSpec {
  method: Method;
  path: string;
  /** First API version that has the route; older ones are refused. */
  since?: string;
  query?: QuerySpec;
  /** A schema for a JSON body, "stream" for one that goes to the engine as it comes. */
  body?: Schema<unknown> | "stream";
  /** `events` and `progress` are streams of JSON documents; `hijack` takes over the connection. */
  answer: "json" | "empty" | "text" | "progress" | "events" | "tar" | "logs" | "hijack";
}
export type RouteTable = Readonly<Record<string, RouteSpec>>;

export function defineRoutes<const T extends RouteTable>(table: T): T {
  return table;
}

export interface CompiledRoute {
  name: string;
  spec: RouteSpec;
  match(path: string): Record<string, string> | undefined;
}

/** Compiles a table into a matcher: method and decoded path (without version) to a row. */
export function compileRoutes(table: RouteTable): {
  find(
    method: string,
    path: string,
  ): { route: CompiledRoute; params: Record<string, string> } | undefined;
} {
  const byMethod = new Map<string, CompiledRoute[]>();
  for (const [name, spec] of Object.entries(table)) {
    const rows = byMethod.get(spec.method) ?? [];
    rows.push({ name, spec, match: matcher(spec.path) });
    byMethod.set(spec.method, rows);
  }
  return {
    find(method, path) {
      for (const route of byMethod.get(method) ?? []) {
        const params = route.match(path);
        if (params !== undefined) return { route, params };
      }
      return undefined;
    },
  };
}

function matcher(pattern: string): CompiledRoute["match"] {
  const open = pattern.indexOf("{");
  if (open < 0) return (path) => (path === pattern ? {} : undefined);
  const prefix = pattern.slice(0, open);
  const names: string[] = [];
  const source = pattern.replace(/\{(\w+)\}/g, (_, name: string) => {
    names.push(name);
    return "(.*)";
  });
  const expression = new RegExp(`^${source}$`, "s");
  return (path) => {
    if (!path.startsWith(prefix)) return undefined;
    const found = expression.exec(path);
    if (found === null) return undefined;
    return Object.fromEntries(names.map((name, i) => [name, found[i + 1] ?? ""]));
  };
}
