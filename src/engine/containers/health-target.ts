// What a health check asks: a command of the container, or a server in it that is asked from
// outside its processes. Pure: tests like ["HTTP", "http://:8080/health"], ["TCP", ":5432"] and,
// for clients that know commands only, a shell command that begins with "http:" or "tcp:".

import { isIP } from "node:net";
import { GantryError } from "../../base/index.ts";
import type { HealthConfig } from "../../spec/index.ts";

export type HealthTarget =
  | { kind: "command"; command: string[] }
  | ({ kind: "tcp" } & ServerPlace)
  | ({ kind: "http"; path: string; method: string; statuses?: StatusRange[] } & ServerPlace & {
        headers: [name: string, value: string][];
      });
export interface ServerPlace {
  /** Tried in turn: a server may listen on one family only. */
  addresses: string[];
  port: number;
  /** As a URL and a Host header have it. */
  authority: string;
}
export type StatusRange = [first: number, last: number];

const SHELL = ["/bin/sh", "-c"];
const LOOPBACK = ["127.0.0.1", "::1"];
const HTTP_PORT = 80;
const OPTIONS_MAX = 32;

const bad = (why: string): GantryError =>
  new GantryError("invalid", `invalid health check: ${why}`);

/** The target of a test; undefined where there is none. Throws invalid. */
export function healthTarget(
  health: HealthConfig | null | undefined,
  shell: readonly string[] | null | undefined,
): HealthTarget | undefined {
  const [kind, ...rest] = health?.Test ?? [];
  if (rest.length === 0) return undefined;
  const [first = ""] = rest;
  switch (kind) {
    case "CMD":
      return { kind: "command", command: rest };
    case "CMD-SHELL": {
      const words = first.trim().split(/\s+/);
      if (/^https?:/.test(words[0]!)) return httpTarget(words[0]!, words.slice(1));
      if (words[0]!.startsWith("tcp:")) return tcpTarget(words);
      return { kind: "command", command: [...(shell?.length ? shell : SHELL), first] };
    }
    case "HTTP":
      return httpTarget(first, rest.slice(1));
    case "TCP":
      return tcpTarget(rest);
    default:
      return undefined;
  }
}

function tcpTarget(words: readonly string[]): HealthTarget {
  const place = placeOf(words[0]!.replace(/^tcp:(\/\/)?/, ""), undefined);
  if (words.length > 1) throw bad(`${JSON.stringify(words[1])} means nothing to a TCP check`);
  return { kind: "tcp", ...place };
}

function httpTarget(url: string, options: readonly string[]): HealthTarget {
  if (/^https:/.test(url)) throw bad("https is not supported, use http: or a command");
  const rest = url.replace(/^http:(\/\/)?/, "");
  const at = rest.search(/[/?#]/);
  const [authority, path] = at < 0 ? [rest, "/"] : [rest.slice(0, at), rest.slice(at)];
  const target = {
    kind: "http" as const,
    ...placeOf(authority, HTTP_PORT),
    path: requestPath(path),
    method: "GET",
    headers: [] as [string, string][],
  };
  if (options.length > OPTIONS_MAX) throw bad(`more than ${OPTIONS_MAX} options`);
  return options.reduce<typeof target & { statuses?: StatusRange[] }>(withOption, target);
}

function requestPath(path: string): string {
  const [before = ""] = path.split("#");
  const full = before.startsWith("/") ? before : `/${before}`;
  if (!/^[\x21-\x7e]+$/.test(full)) throw bad("the path has characters that a URL cannot have");
  return full;
}

function withOption<T extends { headers: [string, string][] }>(target: T, option: string): T {
  const equals = option.indexOf("=");
  const [name, value] = [option.slice(0, equals), option.slice(equals + 1)];
  if (name === "status") return { ...target, statuses: statusRanges(value) };
  if (name === "method" && (value === "GET" || value === "HEAD")) {
    return { ...target, method: value };
  }
  if (name === "header") {
    const match = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e\t]*)$/.exec(value);
    if (!match) throw bad(`${JSON.stringify(value)} is no header`);
    return { ...target, headers: [...target.headers, [match[1]!, match[2]!]] };
  }
  throw bad(
    `unknown option ${JSON.stringify(option)}; there are status=200-399, method=GET or HEAD, ` +
      "header=NAME:VALUE",
  );
}

function statusRanges(text: string): StatusRange[] {
  return text.split(",").map((part) => {
    const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(part);
    if (!match) throw bad(`${JSON.stringify(part)} is no status`);
    return [Number(match[1]), Number(match[2] ?? match[1])];
  });
}

/** "HOST:PORT" with an address, "localhost" or nothing as the host. */
function placeOf(authority: string, portDefault: number | undefined): ServerPlace {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(authority);
  if (!match) throw bad(`${JSON.stringify(authority)} is no HOST:PORT`);
  const host = match[1]!.replace(/^\[|\]$/g, "");
  const port = match[2] === undefined ? portDefault : Number(match[2]);
  if (port === undefined) throw bad("a TCP check needs a port");
  if (port < 1 || port > 65_535) throw bad(`${port} is no port`);
  const isLocal = host === "" || host === "localhost";
  if (!isLocal && isIP(host) === 0) {
    throw bad(`${JSON.stringify(host)} is no address; names are not looked up`);
  }
  const shown = isLocal ? "localhost" : isIP(host) === 6 ? `[${host}]` : host;
  return {
    addresses: isLocal ? LOOPBACK : [host],
    port,
    authority: port === portDefault ? shown : `${shown}:${port}`,
  };
}
