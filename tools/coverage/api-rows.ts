// The API's rows: every endpoint, query parameter, filter, header, field of a request's body and
// field of an answer that Docker has, and what of it the route table, the schemas, the handlers
// and recorded answers show.

import { type RouteSpec, refusedRoutes, routes, type Schema } from "../../src/protocol/index.ts";
import { seenAnswers } from "./answers.ts";
import { definitions, type Field, fieldPaths, type Operation, operations } from "./facts.ts";
import { HandlerSources, wordsOfTheProgram } from "./handlers.ts";
import { answerFields, bodyFields } from "./operations.ts";
import type { Row, Status } from "./rows.ts";

export interface ApiSources {
  operations: Operation[];
  definitions: Map<string, Field[]>;
  handlers: HandlerSources;
  /** Words that occur in the code that does the work. */
  words: ReadonlySet<string>;
  /** The same, with those of the code that renders answers. */
  renderedWords: ReadonlySet<string>;
  /** Fields seen in answers of a daemon, by operation. */
  seen: ReadonlyMap<string, ReadonlySet<string>>;
}

export function apiRows(sources: ApiSources = ownSources()): Row[] {
  return sources.operations.flatMap((operation) => rowsOf(operation, sources));
}

function ownSources(): ApiSources {
  return {
    operations: operations(),
    definitions: definitions(),
    handlers: new HandlerSources(),
    words: wordsOfTheProgram({ rendered: false }),
    renderedWords: wordsOfTheProgram({ rendered: true }),
    seen: seenAnswers(),
  };
}

function rowsOf(operation: Operation, sources: ApiSources): Row[] {
  const { method, path } = operation;
  const name = `${method} ${path}`;
  const route = routeOf(method, path);
  if (route === undefined) return [unserved(operation, name)];
  return [
    { name, status: "have" },
    ...queryRows(name, operation, route, sources),
    ...headerRows(name, operation, route, sources),
    ...bodyRows(name, operation, route, sources),
    ...answerRows(name, operation, sources),
  ];
}

type Found = { key: string; spec: RouteSpec };

function routeOf(method: string, path: string): Found | undefined {
  const same = (a: string) => a.replaceAll(/\{\w+\}/g, "{}") === path.replaceAll(/\{\w+\}/g, "{}");
  for (const [key, spec] of Object.entries<RouteSpec>(routes)) {
    if (spec.method === method && same(spec.path)) return { key, spec };
  }
  return undefined;
}

/** A swarm route that answers as a dockerd in no swarm is all there is to have of it. */
function unserved({ method, path, swarm }: Operation, name: string): Row {
  if (method === "OPTIONS") return { name, status: "have" }; // the router's, whatever the path
  const row = refusedRoutes.find((one) => one.method === method && one.path === path);
  if (row === undefined) return { name, status: "missing", note: "no route" };
  if (row.missing !== undefined)
    return { name, status: "missing", note: `answers: ${row.missing}` };
  // There is none of what the others would speak of either: "plugin … not found" is the answer.
  return { name, status: swarm || row.absent !== undefined ? "have" : "missing" };
}

const PARAMETER = /^([\w-]+):([^<]*)(?:<(.*)>)?/;

function queryRows(name: string, operation: Operation, route: Found, from: ApiSources): Row[] {
  const declared = route.spec.query ?? {};
  return operation.query.split(" ").flatMap((word) => {
    const [, parameter, , filters] = PARAMETER.exec(word) ?? [];
    if (parameter === undefined) return [];
    const type = declared[parameter];
    const row = `${name} query ${parameter}`;
    if (type === undefined) return [{ name: row, status: "missing" as Status, note: "not read" }];
    const used = from.handlers.usesQuery(route.key, parameter);
    const rows: Row[] = [{ name: row, ...statusOf(used, "declared, not looked at") }];
    for (const filter of filters?.split(",") ?? []) {
      const names = typeof type === "object" && "filters" in type ? type.filters : type;
      const known = typeof names === "string" ? undefined : names.includes(filter);
      rows.push({ name: `${name} filter ${filter}`, ...statusOf(known, "not accepted") });
    }
    return rows;
  });
}

function headerRows(name: string, operation: Operation, route: Found, from: ApiSources): Row[] {
  const headers = operation.headers.split(" ").filter((header) => header !== "");
  return headers.map((header) => ({
    name: `${name} header ${header}`,
    ...statusOf(from.handlers.usesHeader(route.key, header), "not read"),
  }));
}

function statusOf(known: boolean | undefined, why: string): { status: Status; note?: string } {
  if (known === true) return { status: "have" };
  return known === false ? { status: "missing", note: why } : { status: "unchecked" };
}

function bodyRows(name: string, operation: Operation, route: Found, from: ApiSources): Row[] {
  const { body } = route.spec;
  const paths = fieldPaths(bodyFields(operation, from.definitions), from.definitions);
  return paths.map((path) => {
    const row = `${name} body ${path}`;
    if (body === undefined) return { name: row, status: "missing", note: "body not read" };
    const read = body === "stream" ? undefined : isRead(body, path.split("."));
    const last = path.slice(path.lastIndexOf(".") + 1);
    if (read === true && !from.words.has(last)) {
      return { name: row, status: "missing", note: "read, then used nowhere" };
    }
    return { name: row, ...statusOf(read, "not read") };
  });
}

/** Whether a schema reads the field at `path`; undefined where it takes whatever comes. */
export function isRead(schema: Schema<unknown>, path: readonly string[]): boolean | undefined {
  if (path.length === 0) return true;
  const [step, ...rest] = path;
  switch (schema.kind) {
    case "any":
      return undefined;
    case "list":
      return isRead(schema.item, path);
    case "map":
      return isRead(schema.value, rest);
    case "object": {
      const field = schema.fields[step!];
      return field !== undefined && isRead(field, rest);
    }
    default:
      return false;
  }
}

function answerRows(name: string, { id }: Operation, from: ApiSources): Row[] {
  const seen = from.seen.get(id);
  const absent = new Set<string>();
  return fieldPaths(answerFields(id, from.definitions), from.definitions).map((path) => {
    const row = `${name} answer ${path}`;
    if (seen?.has(path)) return { name: row, status: "have" };
    const dot = path.lastIndexOf(".");
    const within = path.slice(0, Math.max(dot, 0)).replace(/\.\*$/, "");
    // A field that nobody writes is absent; one that is written may need what no sample had.
    if (!absent.has(within) && from.renderedWords.has(path.slice(dot + 1))) {
      return { name: row, status: "unchecked", note: "in the code, not seen in an answer" };
    }
    absent.add(path);
    return { name: row, status: "missing", note: "in no answer" };
  });
}
