// `--change` of import and commit: Dockerfile instructions that only change an image's config,
// applied without building anything. Meaning and messages are those of docker's builder
// (facts/dockerfile.tsv); anything that would need a build is refused.

import { GantryError, parseDuration } from "../base/index.ts";
import type { ContainerConfig, HealthConfig } from "./container.ts";

type Change = (config: ContainerConfig, rest: string, state: ChangeState) => void;
type ChangeState = { commandSet: boolean };

const CHANGES: Record<string, Change> = {
  CMD(config, rest, state) {
    config.Cmd = commandOf(config, rest);
    state.commandSet = true;
  },
  ENTRYPOINT(config, rest, state) {
    config.Entrypoint = commandOf(config, rest);
    if (!state.commandSet) config.Cmd = null; // one of the base image no longer fits
  },
  ENV(config, rest) {
    const env = [...(config.Env ?? [])];
    for (const [name, value] of pairsOf("ENV", rest, config)) {
      const at = env.findIndex((entry) => entry.split("=", 1)[0] === name);
      if (at < 0) env.push(`${name}=${value}`);
      else env[at] = `${name}=${value}`;
    }
    config.Env = env;
  },
  EXPOSE(config, rest) {
    const words = expandWords(required("EXPOSE", rest), config);
    const ports = { ...(config.ExposedPorts ?? {}) };
    for (const word of words) for (const port of portsOf(word)) ports[port] = {};
    config.ExposedPorts = ports;
  },
  HEALTHCHECK(config, rest) {
    config.Healthcheck = healthcheckOf(rest);
  },
  LABEL(config, rest) {
    const pairs = pairsOf("LABEL", rest, config);
    config.Labels = { ...(config.Labels ?? {}), ...Object.fromEntries(pairs) };
  },
  ONBUILD(config, rest) {
    const trigger = required("ONBUILD", rest).split(/\s/, 1)[0]!.toUpperCase();
    if (trigger === "ONBUILD")
      throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger === "MAINTAINER" || trigger === "FROM") {
      throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`);
    }
    config.OnBuild = [...(config.OnBuild ?? []), rest];
  },
  STOPSIGNAL(config, rest) {
    const signal = expand(one("STOPSIGNAL", rest), config);
    if (!/^(?:\d{1,2}|(?:SIG)?[A-Z][A-Z0-9+-]*)$/i.test(signal)) {
      throw invalid(`Invalid signal: ${signal}`);
    }
    config.StopSignal = signal;
  },
  USER(config, rest) {
    config.User = expand(one("USER", rest), config);
  },
  VOLUME(config, rest) {
    const words = jsonWords(required("VOLUME", rest)) ?? splitWords(rest);
    const volumes = { ...(config.Volumes ?? {}) };
    for (const word of words) {
      const path = expand(word.trim(), config);
      if (path === "") throw invalid("VOLUME specified can not be an empty string");
      volumes[path] = {};
    }
    config.Volumes = volumes;
  },
  WORKDIR(config, rest) {
    const path = expand(unquote(required("WORKDIR", rest)), config);
    const base = path.startsWith("/") ? "/" : `${config.WorkingDir || "/"}/`;
    config.WorkingDir = cleanPath(base + path);
  },
};

/** Returns a copy of `config` with the instructions applied in order. Throws invalid. */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  const result = structuredClone(config);
  const state = { commandSet: false };
  for (const line of changes.flatMap(logicalLines)) {
    const [, name = "", rest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
    const change = CHANGES[name.toUpperCase()];
    if (change === undefined) throw invalid(`${name} is not a valid change command`);
    change(result, rest.trim(), state);
  }
  return result;
}

/** Lines joined where they end in a backslash; empty lines and comments dropped. */
function logicalLines(text: string): string[] {
  return text
    .replace(/\\[ \t]*\r?\n/g, "")
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}

function required(name: string, rest: string): string {
  if (rest === "") throw invalid(`${name} requires at least one argument`);
  return rest;
}

function one(name: string, rest: string): string {
  const words = splitWords(rest);
  if (words.length !== 1) throw invalid(`${name} requires exactly one argument`);
  return unquote(words[0]!);
}

/** Exec form is a JSON array of strings; anything else is for the shell. */
function commandOf(config: ContainerConfig, rest: string): string[] | null {
  const words = jsonWords(rest);
  if (words !== undefined) return words;
  if (rest === "") return null;
  return [...(config.Shell?.length ? config.Shell : ["/bin/sh", "-c"]), rest];
}

function jsonWords(rest: string): string[] | undefined {
  if (!rest.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(rest);
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  } catch {
    // Not JSON: docker then takes it for the shell form.
  }
  return undefined;
}

/** Words as the builder cuts them: at blanks outside quotes, the quotes kept. */
function splitWords(text: string): string[] {
  return text.match(/(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s\\"'])+/gs) ?? [];
}

/** "k=v k2='v 2'" or the old form "k the rest". */
function pairsOf(name: string, rest: string, config: ContainerConfig): [string, string][] {
  const words = splitWords(required(name, rest));
  if (!words[0]!.includes("=")) {
    const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    if (key === undefined || value === undefined) throw invalid(`${name} must have two arguments`);
    return [[expand(unquote(key), config), expand(value, config)]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 0) {
      const hint = `can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`;
      throw invalid(`Syntax error - ${hint}`);
    }
    const key = expandQuoted(word.slice(0, equals), config);
    if (key === "") throw invalid(`${name} names can not be blank`);
    return [key, expandQuoted(word.slice(equals + 1), config)];
  });
}

/** Removes quotes and backslashes, expanding variables outside single quotes. */
function expandQuoted(word: string, config: ContainerConfig): string {
  const parts = word.match(/'[^']*'|"(?:\\.|[^"\\])*"|(?:\\.|[^'"\\])+|\\/gs) ?? [];
  return parts
    .map((part) => {
      if (part.startsWith("'")) return part.slice(1, -1);
      const quoted = part.startsWith('"');
      return expand(quoted ? part.slice(1, -1) : part, config);
    })
    .join("");
}

function unquote(text: string): string {
  return /^(['"])([\s\S]*)\1$/.exec(text)?.[2] ?? text;
}

function expandWords(text: string, config: ContainerConfig): string[] {
  return splitWords(text).flatMap((word) => splitWords(expand(word, config)));
}

/** $NAME, ${NAME}, ${NAME:-default}, ${NAME:+other} and backslash escapes. */
function expand(text: string, config: ContainerConfig): string {
  const value = (name: string): string | undefined =>
    config.Env?.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
  const pattern = /\\([\s\S])|\$(?:(\w+)|\{(\w+)(?::?([-+])([^}]*))?\})/g;
  return text.replace(pattern, (_, escaped, plain, braced, operator, word) => {
    if (escaped !== undefined) return escaped;
    const found = value(plain ?? braced);
    if (operator === "-") return found ? found : word;
    if (operator === "+") return found ? word : "";
    return found ?? "";
  });
}

/** "80", "80/udp", "8000-8010/tcp" as keys of ExposedPorts. */
function portsOf(word: string): string[] {
  const match = /^(\d+)(?:-(\d+))?(?:\/(\w+))?$/.exec(word);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  const protocol = (match?.[3] ?? "tcp").toLowerCase();
  if (match === null || first > last || last > 65535)
    throw invalid(`Invalid containerPort: ${word}`);
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw invalid(`Invalid proto: ${protocol}`);
  return Array.from({ length: last - first + 1 }, (_, n) => `${first + n}/${protocol}`);
}

const HEALTH_FLAGS: Record<string, "Interval" | "Timeout" | "StartPeriod" | "StartInterval"> = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

function healthcheckOf(text: string): HealthConfig {
  const health: HealthConfig = {};
  let rest = text;
  for (
    let flag = /^--([a-z-]+)=(\S+)\s*/.exec(rest);
    flag;
    flag = /^--([a-z-]+)=(\S+)\s*/.exec(rest)
  ) {
    const [all, name = "", value = ""] = flag;
    const field = HEALTH_FLAGS[name];
    if (name === "retries") health.Retries = retriesOf(value);
    else if (field !== undefined) health[field] = Number(parseDuration(value));
    else throw invalid(`Unknown flag: ${name}`);
    rest = rest.slice(all.length);
  }
  const [, type = "", command = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  if (type.toUpperCase() === "NONE") {
    if (command !== "") throw invalid("HEALTHCHECK NONE takes no arguments");
    return { Test: ["NONE"] };
  }
  if (type.toUpperCase() !== "CMD") {
    throw invalid(`Unknown type ${JSON.stringify(type)} in HEALTHCHECK (try CMD)`);
  }
  if (command === "") throw invalid("Missing command after HEALTHCHECK CMD");
  const words = jsonWords(command);
  return { Test: words ? ["CMD", ...words] : ["CMD-SHELL", command], ...health };
}

function retriesOf(value: string): number {
  const retries = Number(value);
  if (Number.isInteger(retries) && retries >= 0) return retries;
  throw invalid(`--retries cannot be negative: ${value}`);
}

function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
