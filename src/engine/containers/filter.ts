// The filters of `ps`: docker's keys and semantics. Values of one key are alternatives (labels are
// conjoined), keys are conjoined.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { Filters } from "../contract.ts";
import { findImage } from "../images/find.ts";
import { networkNamed } from "../networks/find.ts";
import { matchesPorts, type PortFilters, parsePortFilters } from "./port-filter.ts";
import { type ContainerRecord, statusOf } from "./record.ts";
import { renderPorts } from "./render.ts";

const KEYS = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "is-task",
  "isolation",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
];
const STATUSES = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS = ["none", "starting", "healthy", "unhealthy"];

/** Judged from what prepareFilters found. */
const RESOLVED = ["before", "since", "ancestor", "publish", "expose"];

export interface PreparedFilters {
  /** A filter speaks of the state: containers that do not run are wanted too. */
  namesState: boolean;
  filters: Filters;
  before: string | undefined;
  since: string | undefined;
  imageIds: ReadonlySet<string> | undefined;
  ports: PortFilters | undefined;
}

/** Resolves what the filters refer to; throws invalid or not-found with docker's wording. */
export function prepareFilters(engine: EngineContext, filters: Filters): PreparedFilters {
  for (const key of filters.keys()) {
    if (!KEYS.includes(key)) throw new GantryError("invalid", `invalid filter '${key}'`);
  }
  check(filters, "status", { what: "state", known: STATUSES });
  check(filters, "health", { what: "health", known: HEALTHS });
  for (const value of filters.get("exited") ?? []) {
    if (/^[-+]?\d+$/.test(value)) continue;
    const why = `strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`;
    throw new GantryError("invalid", `invalid filter 'exited=${value}': ${why}`);
  }
  const createdOf = (key: string): string | undefined => {
    const ref = filters.get(key)?.at(-1);
    return ref === undefined ? undefined : engine.containers.find(ref).created;
  };
  const ancestors = filters.get("ancestor");
  return {
    namesState: ["status", "exited", "before", "since", "id", "name"].some(
      (key) => (key === "status" || key === "exited") && (filters.get(key)?.length ?? 0) > 0,
    ),
    filters,
    before: createdOf("before"),
    since: createdOf("since"),
    ports: parsePortFilters(filters),
    imageIds: ancestors && new Set(ancestors.flatMap((ref) => ancestorIds(engine, ref))),
  };
}

function check(
  filters: Filters,
  key: string,
  { what, known }: { what: string; known: readonly string[] },
): void {
  for (const value of filters.get(key) ?? []) {
    if (known.includes(value)) continue;
    const why = `invalid value for ${what} (${value}): must be one of ${known.join(", ")}`;
    throw new GantryError("invalid", `invalid filter '${key}=${value}': ${why}`);
  }
}

/** The image and every image that has its layers as a prefix. */
function ancestorIds(engine: EngineContext, ref: string): string[] {
  try {
    const base = findImage(engine, ref);
    const chain = base.layers.map((layer) => layer.diffId).join();
    return engine.storage.images
      .list()
      .filter(
        (image) =>
          image.id === base.id ||
          (chain !== "" &&
            image.layers
              .map((layer) => layer.diffId)
              .join()
              .startsWith(chain)),
      )
      .map((image) => image.id);
  } catch {
    return [];
  }
}

export function matchesContainer(
  engine: EngineContext,
  c: ContainerRecord,
  prepared: PreparedFilters,
): boolean {
  const { before, since, imageIds, ports } = prepared;
  if (before !== undefined && c.created >= before) return false;
  if (since !== undefined && c.created <= since) return false;
  if (imageIds && !imageIds.has(c.imageId)) return false;
  if (ports && !matchesPorts(renderPorts(c, c.run?.attachments ?? []), ports)) return false;
  for (const [key, values] of prepared.filters) {
    if (RESOLVED.includes(key) || values.length === 0) continue;
    const test = (value: string): boolean => matches(engine, c, key, value);
    if (key === "label" ? !values.every(test) : !values.some(test)) return false;
  }
  return true;
}

function matches(engine: EngineContext, c: ContainerRecord, key: string, value: string): boolean {
  switch (key) {
    case "id":
      return c.id.startsWith(value);
    case "name":
      return matchesPattern(c.name, value);
    case "label":
      return matchesLabel(c.config.Labels ?? {}, value);
    case "status":
      return statusOf(c) === value;
    case "exited":
      return statusOf(c) === "exited" && c.exitCode === Number(value);
    case "health":
      return (c.health?.status ?? "none") === value;
    case "volume":
      return c.mounts.some((mount) => mount.Name === value || mount.Destination === value);
    case "network":
      return Object.keys(c.endpoints).some(
        (name) => name === value || networkNamed(engine, name)?.Id.startsWith(value),
      );
    case "is-task":
      return !isTask(value);
    default:
      return true;
  }
}

/** Docker matches names as regular expressions, with and without the slash. */
function matchesPattern(name: string, pattern: string): boolean {
  try {
    const expression = new RegExp(pattern);
    return expression.test(name) || expression.test(`/${name}`);
  } catch {
    return name === pattern;
  }
}

export function matchesLabel(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  // Every object has a "constructor": only a label of its own counts.
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
}

function isTask(value: string): boolean {
  if (["true", "1"].includes(value)) return true;
  if (["false", "0"].includes(value)) return false;
  throw new GantryError("invalid", `invalid filter 'is-task=[${value}]'`);
}
