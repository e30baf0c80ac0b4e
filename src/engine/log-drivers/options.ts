// Values of log options as Go's packages read them, with the sentences that dockerd answers with:
// people search for them. Pure.

import { GantryError, parseBool, parseDuration } from "../../base/index.ts";
import type { LogInfo } from "../logs/index.ts";
import type { LogDriverOptions } from "./contract.ts";

/** What every driver that tags its lines takes. */
export const TAG_OPTIONS = ["tag", "labels", "labels-regex", "env", "env-regex"] as const;

/** The log options of a container. */
export function driverOptions(c: LogInfo): LogDriverOptions {
  return c.hostConfig.LogConfig?.Config ?? {};
}

export const invalid = (message: string, cause?: unknown): GantryError =>
  new GantryError("invalid", message, cause === undefined ? {} : { cause });

/** Throws for the first option that `known` does not name. */
export function refuseUnknown(
  options: LogDriverOptions,
  known: readonly string[],
  word: (key: string) => string,
): void {
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalid(word(unknown));
}

export function boolOption(options: LogDriverOptions, key: string, fallback = false): boolean {
  const text = options[key];
  return text === undefined || text === "" ? fallback : parseBool(text);
}

/** Go's strconv.ParseUint. */
export function uintOption(options: LogDriverOptions, key: string): number | undefined {
  const text = options[key];
  if (text === undefined || text === "") return undefined;
  if (!/^\d+$/.test(text)) {
    throw invalid(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  if (BigInt(text) >= 2n ** 64n) {
    throw invalid(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`);
  }
  return Number(text);
}

/** Go's strconv.Atoi; undefined for what is no whole number. */
export function wholeNumber(text: string): number | undefined {
  if (!/^[-+]?\d{1,18}$/.test(text)) return undefined;
  return Number(text);
}

export function durationMs(text: string): number {
  return parseDuration(text) / 1e6;
}

export interface Address {
  scheme: string;
  host: string;
  /** Empty where it is not given. */
  port: string;
  path: string;
}

/** scheme://host:port/path as Go's url.Parse takes it; throws with its words. */
export function parseAddress(text: string): Address {
  const [, scheme = "", rest = text] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === "") return { scheme, host: "", port: "", path: text };
  const slash = rest.search(/[/?#]/);
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? "" : rest.slice(slash);
  const { host, port } = splitHostPort(text, authority.slice(authority.lastIndexOf("@") + 1));
  return { scheme: scheme.toLowerCase(), host, port, path };
}

function splitHostPort(text: string, authority: string): { host: string; port: string } {
  const close = authority.startsWith("[") ? authority.indexOf("]") : -1;
  if (authority.startsWith("[") && close < 0) {
    throw invalid(`parse ${JSON.stringify(text)}: missing ']' in host`);
  }
  const colon = authority.indexOf(":", Math.max(0, close));
  const host = colon < 0 ? authority : authority.slice(0, colon);
  const rest = colon < 0 ? "" : authority.slice(colon);
  if (rest !== "" && !/^:\d*$/.test(rest)) {
    const port = rest.slice(rest.lastIndexOf(":"));
    throw invalid(`parse ${JSON.stringify(text)}: invalid port ${JSON.stringify(port)} after host`);
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: rest.slice(1) };
}

/** Go's uint16 of a port. */
export function portNumber(port: string): number {
  if (Number(port) > 65_535) {
    const what = `strconv.ParseUint: parsing ${JSON.stringify(port)}`;
    throw invalid(`invalid port: ${what}: value out of range`);
  }
  return Number(port);
}

/** host:port, with brackets around IPv6. */
export function hostPort(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
