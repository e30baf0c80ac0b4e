// Which events a subscriber wants: docker's filter semantics. Values of one key are alternatives,
// keys are conjoined.

import type { Event, Filters } from "../contract.ts";

const OBJECTS = ["container", "image", "volume", "network", "daemon", "plugin"];

/** True when `event` passes every filter. */
export function matchesFilters(event: Event, filters: Filters): boolean {
  for (const [key, values] of filters) {
    if (values.length > 0 && !values.some((value) => matches(event, key, value))) return false;
  }
  return true;
}

function matches(event: Event, key: string, value: string): boolean {
  const { ID, Attributes } = event.Actor;
  switch (key) {
    case "type":
      return event.Type === value;
    case "event":
      // `exec_create` matches "exec_create: sh", as `health_status` does "health_status: healthy".
      return event.Action === value || event.Action.startsWith(`${value}:`);
    case "label":
      return matchesLabel(Attributes, value);
    case "scope":
      return event.scope === value;
    case "image":
      return matchesImage(event, value);
    default:
      if (!OBJECTS.includes(key)) return false;
      if (event.Type !== key) return false;
      return ID === value || Attributes["name"] === value.replace(/^\//, "") || idPrefix(ID, value);
  }
}

function matchesImage(event: Event, value: string): boolean {
  const name = event.Type === "image" ? event.Actor.Attributes["name"] : undefined;
  const image = event.Type === "container" ? event.Actor.Attributes["image"] : name;
  const id = event.Type === "image" ? event.Actor.ID : "";
  return [id, image, image?.replace(/:[^:/]*$/, "")].includes(value);
}

function matchesLabel(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  // Every object has a "constructor": only a label of its own counts.
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
}

const idPrefix = (id: string, value: string): boolean =>
  value.length >= 4 && /^[0-9a-f]+$/.test(value) && id.startsWith(value);
