// The text of daemon.json to values in the flags' form. What is wrong is told in dockerd's words:
// people search for those sentences.

import { GantryError, messageOf } from "../base/index.ts";
import { deprecatedKeys, type Option, options, removedKeys } from "./option-table.ts";
import { invalidJson, valueFromFile } from "./option-values.ts";

const PROXIES = ["http-proxy", "https-proxy", "no-proxy"];

/** The text of daemon.json against the flags that were given. Throws invalid. */
export function parseConfigFile(
  text: string,
  fromFlags: ReadonlyMap<string, unknown> = new Map(),
): Map<string, unknown> {
  const trimmed = text.replace(/^\ufeff/, "").trim();
  const values = new Map<string, unknown>();
  if (trimmed === "") return values;
  const byKey = new Map(options.map((option) => [option.key, option]));
  const unknown: string[] = [];
  const conflicts: string[] = [];
  const written = parseObject(trimmed);
  checkSpellings(written);
  for (const [name, value] of Object.entries(written)) {
    const option = byKey.get(deprecatedKeys[name] ?? name);
    if (option === undefined) unknown.push(name);
    else if (value !== null) {
      conflicts.push(...conflictOf(option, fromFlags, value));
      if (option.key === "proxies") unknown.push(...unknownProxies(value));
      values.set(option.key, valueFromFile(option, listOf(name, value)));
    }
  }
  if (unknown.length > 0) {
    throw invalid(
      `the following directives don't match any configuration option: ${unknown.join(", ")}`,
    );
  }
  if (conflicts.length > 0) {
    throw invalid(
      "the following directives are specified both as a flag and in the configuration file: " +
        conflicts.join(", "),
    );
  }
  return values;
}

function checkSpellings(written: Record<string, unknown>): void {
  for (const name of Object.keys(written)) {
    if (Object.hasOwn(removedKeys, name)) throw invalid(removedKeys[name]!);
    const now = deprecatedKeys[name];
    if (now !== undefined && Object.hasOwn(written, now)) {
      throw invalid(`${name} and ${now} must not both be specified in the config file`);
    }
  }
}

/** The old host-gateway-ip is one address. */
const listOf = (name: string, value: unknown): unknown =>
  name === "host-gateway-ip" && typeof value === "string" ? [value] : value;

function unknownProxies(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value).filter((key) => !PROXIES.includes(key));
}

function parseObject(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw invalidJson(jsonFailure(text, messageOf(cause)), cause);
  }
  if (parsed === null) return {};
  if (typeof parsed === "object" && !Array.isArray(parsed)) {
    return parsed as Record<string, unknown>;
  }
  const what = Array.isArray(parsed) ? "array" : typeof parsed;
  throw invalidJson(`json: cannot unmarshal ${what} into Go value of type map[string]interface {}`);
}

/** The commonest mistakes in Go's words; V8 tells the place of the others better. */
function jsonFailure(text: string, message: string): string {
  if (/Unexpected end|Unterminated/.test(message) || /^[{[]\s*$/.test(text)) {
    return "unexpected end of JSON input";
  }
  const after = /non-whitespace character after JSON at position (\d+)/.exec(message);
  if (after === null) return message;
  return `invalid character '${text[Number(after[1])]}' after top-level value`;
}

function conflictOf(
  option: Option,
  fromFlags: ReadonlyMap<string, unknown>,
  value: unknown,
): string[] {
  if (!fromFlags.has(option.key)) return [];
  const flag = goValue(fromFlags.get(option.key));
  return [`${option.key}: (from flag: ${flag}, from file: ${goValue(value)})`];
}

/** A value as Go's %v prints it. */
export function goValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goValue).join(" ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, item]) => `${key}:${goValue(item)}`).join(" ")}]`;
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
