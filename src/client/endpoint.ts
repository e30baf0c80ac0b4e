// Where a daemon listens, parsed once from DOCKER_HOST's grammar: unix:///path, tcp://host:port,
// http(s)://host:port, ssh://user@host[:port][/path], fd:// and npipe:// are refused.

import { GantryError } from "../base/index.ts";

export type Endpoint =
  | { kind: "unix"; path: string; text: string }
  | { kind: "tcp"; host: string; port: number; path: string; text: string }
  | {
      kind: "ssh";
      user?: string;
      host: string;
      port?: string;
      /** The daemon's socket over there; "" is the remote program's own default. */
      path: string;
      text: string;
      /** Who dials over there, instead of docker. */
      program?: string;
    };

const DEFAULT_TCP_PORT = 2375;
const DEFAULT_TLS_PORT = 2376;

/** Parses a DOCKER_HOST value; `tls` decides the default port. Throws invalid. */
export function parseEndpoint(text: string, { tls = false } = {}): Endpoint {
  const trimmed = text.trim();
  const separator = trimmed.indexOf("://");
  const scheme =
    separator < 0 ? (trimmed.startsWith("/") ? "unix" : "tcp") : trimmed.slice(0, separator);
  const rest = separator < 0 ? trimmed : trimmed.slice(separator + 3);
  switch (scheme) {
    case "unix":
      return { kind: "unix", path: rest, text: `unix://${rest}` };
    case "tcp":
    case "http":
    case "https":
      return parseTcp(rest, trimmed, tls || scheme === "https");
    case "ssh":
      return parseSsh(trimmed);
    case "npipe":
      throw new GantryError("invalid", "protocol not available");
    default:
      if (rest === "")
        throw new GantryError("invalid", `unable to parse docker host \`${trimmed}\``);
      throw new GantryError("invalid", `invalid bind address format: ${trimmed}`);
  }
}

function parseTcp(rest: string, text: string, tls: boolean): Endpoint {
  const slash = rest.indexOf("/");
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? "" : rest.slice(slash).replace(/\/$/, "");
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]*))(?::(\d+))?$/.exec(authority);
  if (!match && /:[^:\]]*$/.test(authority)) {
    const port = authority.slice(authority.lastIndexOf(":"));
    const shown = JSON.stringify(text);
    throw new GantryError(
      "invalid",
      `parse ${shown}: invalid port ${JSON.stringify(port)} after host`,
    );
  }
  if (!match) throw new GantryError("invalid", `invalid bind address format: ${text}`);
  const host = match[1] ?? (match[2] || "127.0.0.1");
  const port = match[3] ? Number(match[3]) : tls ? DEFAULT_TLS_PORT : DEFAULT_TCP_PORT;
  const shown = host.includes(":") ? `[${host}]` : host;
  return { kind: "tcp", host, port, path, text: `tcp://${shown}:${port}${path}` };
}

function parseSsh(text: string): Endpoint {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    const isEmpty = /^ssh:\/\/(?:[^@/]*@)?(?:[:/?#]|$)/.test(text);
    throw invalidSsh(isEmpty ? "hostname is empty" : `parse ${JSON.stringify(text)}`, cause);
  }
  if (url.password) throw invalidSsh("plain-text password is not supported");
  if (!url.hostname) throw invalidSsh("hostname is empty");
  if (url.search) {
    const query = JSON.stringify(url.search.slice(1));
    throw invalidSsh(`query parameters are not allowed: ${query}`);
  }
  if (url.hash) {
    throw invalidSsh(`fragments are not allowed: ${JSON.stringify(url.hash.slice(1))}`);
  }
  return {
    kind: "ssh",
    host: decodeURIComponent(url.hostname).replace(/^\[|\]$/g, ""),
    path: url.pathname === "/" ? "" : decodeURIComponent(url.pathname),
    text,
    ...(url.username ? { user: decodeURIComponent(url.username) } : {}),
    ...(url.port ? { port: url.port } : {}),
  };
}

function invalidSsh(why: string, cause?: unknown): GantryError {
  return new GantryError("invalid", `ssh host connection is not valid: invalid SSH URL: ${why}`, {
    cause,
  });
}
