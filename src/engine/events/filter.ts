// Which events a subscriber wants: docker's filter semantics, recorded from dockerd 28. Values of
// one key are alternatives (of labels all must fit), keys are conjoined, unknown keys say nothing.
// A name fits by its beginning, whatever type the object has: so does dockerd.

import type { Event, Filters } from "../contract.ts";

const OBJECTS = [
  ...["config", "container", "daemon", "network", "node"],
  ...["plugin", "secret", "service", "volume"],
];
/** Actions that go on behind a colon, so that their beginning must be enough. */
const OPEN_ACTIONS = ["exec_create", "exec_start", "health_status"];

/** True when `event` passes every filter. */
export function matchesFilters(event: Event, filters: Filters): boolean {
  for (const [key, values] of filters) {
    if (values.length > 0 && !matches(event, key, values)) return false;
  }
  return true;
}

function matches(event: Event, key: string, values: readonly string[]): boolean {
  const { ID, Attributes } = event.Actor;
  switch (key) {
    case "type":
      return values.includes(event.Type);
    case "event": {
      const isOpen = values.some((value) => OPEN_ACTIONS.includes(value));
      return isOpen ? beginsWithOne(event.Action, values) : values.includes(event.Action);
    }
    case "label":
      return values.every((value) => matchesLabel(Attributes, value));
    case "scope":
      return values.includes(event.scope);
    case "image":
      return matchesImage(event, values);
    default:
      if (!OBJECTS.includes(key)) return true;
      return beginsWithOne(ID, values) || beginsWithOne(Attributes["name"] ?? "", values);
  }
}

const beginsWithOne = (text: string, values: readonly string[]): boolean =>
  values.some((value) => text.startsWith(value));

function matchesImage(event: Event, values: readonly string[]): boolean {
  const { ID, Attributes } = event.Actor;
  const name = Attributes[event.Type === "image" ? "name" : "image"] ?? "";
  return [ID, name, withoutTag(ID), withoutTag(name)].some((one) => values.includes(one));
}

const withoutTag = (name: string): string => name.replace(/:[^:/]*$/, "");

function matchesLabel(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  // Every object has a "constructor": only a label of its own counts.
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
}
