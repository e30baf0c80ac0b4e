// The scopes of docker's token specification: `repository:library/busybox:pull,push`, several of
// them separated by spaces. Also the challenges that carry them (RFC 9110 §11.6.1, RFC 6750 §3).

import type { Access, Action } from "../contract.ts";

const actionsKnown: readonly Action[] = ["pull", "push", "delete", "*"];
/** As in the distribution spec ("Pulling manifests"), and its limit of length. */
const repositoryName =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
export const scopesMax = 100;

/** What a scope asks for. What is unknown in it (types, actions, odd names) is left out: the token
 * spec wants a smaller grant then, not an error. Equal resources are merged. */
export function parseScopes(texts: readonly string[]): Access[] {
  const merged = new Map<string, Access>();
  const words = texts.flatMap((text) => text.split(" ")).filter((word) => word !== "");
  for (const word of words.slice(0, scopesMax)) {
    const access = parseScope(word);
    if (!access) continue;
    const key = `${access.type}:${access.name}`;
    const known = merged.get(key);
    if (known) known.actions = [...new Set([...known.actions, ...access.actions])];
    else merged.set(key, access);
  }
  return [...merged.values()];
}

function parseScope(word: string): Access | undefined {
  const first = word.indexOf(":");
  const last = word.lastIndexOf(":");
  if (first <= 0 || first === last) return undefined;
  // docker also writes `repository(plugin):…`.
  const type = word.slice(0, first).replace(/\([a-z0-9]+\)$/, "");
  const name = word.slice(first + 1, last);
  const wanted = new Set(word.slice(last + 1).split(","));
  const actions = actionsKnown.filter((action) => wanted.has(action));
  if (actions.length === 0) return undefined;
  if (type === "repository") {
    if (name.length > 255 || !repositoryName.test(name)) return undefined;
    return { type, name, actions };
  }
  return type === "registry" && name === "catalog" ? { type, name, actions } : undefined;
}

export function formatScopes(accesses: readonly Access[]): string {
  return accesses
    .map(({ type, name, actions }) => `${type}:${name}:${actions.join(",")}`)
    .join(" ");
}

/** Whether `granted` holds all of `wanted`; "*" stands for every action. */
export function covers(granted: readonly Access[], wanted: Access): boolean {
  const held = new Set(
    granted
      .filter(({ type, name }) => type === wanted.type && name === wanted.name)
      .flatMap(({ actions }) => actions),
  );
  return held.has("*") || wanted.actions.every((action) => held.has(action));
}

/** A WWW-Authenticate value; parameters that are undefined or empty are left out. */
export function challenge(scheme: string, parameters: Record<string, string | undefined>): string {
  const list = Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([key, value]) => `${key}="${quoted(value!)}"`);
  return `${scheme} ${list.join(",")}`;
}

function quoted(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&");
}
