// What the pull-through cache is told: which names of ours stand for which registry, with whose
// credentials, and how long what it keeps counts.

import { GantryError } from "../base/index.ts";
import { isName } from "./names.ts";

export interface CacheUpstream {
  /** Names that begin with it are the upstream's: "cache/docker.io" has "cache/docker.io/redis".
   * Empty: all names that no other upstream has. */
  prefix: string;
  /** The registry's host, with its port: "docker.io", "localhost:5000". */
  registry: string;
  /** Values of ?ns= that mean it; its own name and "docker.io" for Docker Hub unless said. */
  namespaces?: readonly string[];
  /** Ours at the upstream; those of clients never go there. */
  username?: string;
  password?: string;
  /** Holds the password; read when the upstream is first asked, and again after a while. */
  passwordFile?: string;
  /** A refresh token of its token service, instead of a password. */
  identityToken?: string;
  /** How long a tag counts without asking [300]; 0 asks every time. */
  tagSeconds?: number;
}
export interface CacheOptions {
  upstreams: readonly CacheUpstream[];
  /** What nobody has asked for in so long is forgotten [7 days]; 0 keeps it for ever. */
  unusedSeconds?: number;
  /** How long a request waits for an upstream before it gets what is kept [5 s]. */
  patienceMs?: number;
  /** How long an upstream that did not answer is left alone while something is kept [15 s]. */
  restMs?: number;
  /** Downloads from upstreams at once [32]; more wait. */
  downloadsMax?: number;
  /** For what is on its way [the system's folder for temporary files]. */
  spoolFolder?: string;
  /** Hosts that may be spoken to without verified TLS. */
  insecureRegistries?: readonly string[];
  /** Folders with <host>/{*.crt,*.cert,*.key}. */
  certificateFolders?: readonly string[];
}
export type CacheSettings = Required<
  Pick<CacheOptions, "unusedSeconds" | "patienceMs" | "restMs" | "downloadsMax">
> &
  CacheOptions;

const HOST = /^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::\d{1,5})?$/;
export const tagSecondsDefault = 300;
const UPSTREAM_TEXTS = ["registry", "username", "password", "passwordFile", "identityToken"];
const NUMBERS = ["unusedSeconds", "patienceMs", "restMs", "downloadsMax"];
const LISTS = ["insecureRegistries", "certificateFolders"];

/** Options from a config file's object. Throws invalid, naming what is wrong. */
export function parseCacheOptions(value: unknown): CacheOptions {
  if (!isObject(value)) throw bad("want an object with upstreams");
  for (const [name, found] of Object.entries(value)) {
    if (name === "upstreams") continue;
    if (NUMBERS.includes(name)) checkNumber(name, found);
    else if (LISTS.includes(name)) checkTexts(name, found);
    else if (name !== "spoolFolder") throw bad(`unknown option ${JSON.stringify(name)}`);
    else if (typeof found !== "string") throw bad("spoolFolder must be a text");
  }
  const { upstreams } = value;
  if (!Array.isArray(upstreams) || upstreams.length === 0) throw bad("upstreams must be a list");
  const prefixes = new Set<string>();
  for (const upstream of upstreams) {
    const { prefix } = parseUpstream(upstream);
    if (prefixes.has(prefix)) throw bad(`two upstreams have the prefix ${JSON.stringify(prefix)}`);
    prefixes.add(prefix);
  }
  return value as unknown as CacheOptions;
}

function parseUpstream(value: unknown): CacheUpstream {
  if (!isObject(value)) throw bad("an upstream must be an object");
  for (const [name, found] of Object.entries(value)) {
    if (name === "prefix") {
      if (found !== "" && (typeof found !== "string" || !isName(found))) {
        throw bad(`prefix ${JSON.stringify(found)} is no name of a repository`);
      }
    } else if (name === "namespaces") checkTexts(name, found);
    else if (name === "tagSeconds") checkNumber(name, found);
    else if (!UPSTREAM_TEXTS.includes(name)) throw bad(`unknown option ${JSON.stringify(name)}`);
    else if (typeof found !== "string" || found === "") throw bad(`${name} must be a text`);
  }
  const upstream = value as unknown as CacheUpstream;
  if (upstream.prefix === undefined) throw bad("an upstream has no prefix");
  if (!HOST.test(upstream.registry ?? "")) {
    throw bad(`registry ${JSON.stringify(upstream.registry)} is no host`);
  }
  const { username, password, passwordFile } = upstream;
  if (password !== undefined && passwordFile !== undefined) {
    throw bad("password and passwordFile exclude one another");
  }
  if ((username === undefined) !== ((password ?? passwordFile) === undefined)) {
    throw bad("username and password (or passwordFile) come together");
  }
  return upstream;
}

export function cacheSettings(options: CacheOptions): CacheSettings {
  parseCacheOptions(options);
  return {
    unusedSeconds: 7 * 86_400,
    patienceMs: 5_000,
    restMs: 15_000,
    downloadsMax: 32,
    ...options,
  };
}

function checkNumber(name: string, value: unknown): void {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return;
  throw bad(`${name} must be a whole number`);
}

function checkTexts(name: string, value: unknown): void {
  if (Array.isArray(value) && value.every((text) => typeof text === "string" && text)) return;
  throw bad(`${name} must be a list of texts`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function bad(why: string): GantryError {
  return new GantryError("invalid", `Invalid options of the pull-through cache: ${why}`);
}
