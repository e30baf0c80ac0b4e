// What a failed call is told as, in the words of docker's own client: an answer that is no success,
// a socket that nobody listens on, a connection that broke; with cause and remedy where they are
// known.

import { type Advice, type ErrorKind, errnoOf, GantryError, messageOf } from "../base/index.ts";
import type { Endpoint } from "./endpoint.ts";

/** What docker's client calls a daemon behind ssh. */
const SSH_HOST = "docker.example.com";

const KINDS: Record<number, ErrorKind> = {
  304: "not-modified",
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  501: "not-implemented",
  503: "unavailable",
};

/** An answer that is no success: `text` is its body. */
export function responseError(
  { status, reason }: { status: number; reason: string },
  text: string,
  url: string,
): GantryError {
  let message = "";
  if (text === "") {
    message =
      `request returned ${reason} for API route and version ${url}, ` +
      "check if the server supports the requested API version";
  } else {
    try {
      const parsed = JSON.parse(text) as { message?: unknown };
      if (typeof parsed.message === "string") message = parsed.message.trim();
    } catch {
      message = text.trim();
    }
    message = `Error response from daemon: ${message || `API returned a ${status}`}`;
  }
  return new GantryError(KINDS[status] ?? "internal", message, {
    detail: { status },
  });
}

/** No connection was made. `request` is what was asked, as docker shows it: Get "http://…". */
export function connectionError(error: unknown, endpoint: Endpoint, request: string): GantryError {
  const errno = errnoOf(error);
  const detail = { connect: true, ...(errno ? { errno } : {}) };
  const advice = connectionAdvice(errno, endpoint);
  const because = { cause: error, detail: { ...detail, ...(advice && { advice }) } };
  if (errno === "EACCES" || errno === "EPERM") {
    const path = endpoint.kind === "unix" ? endpoint.path : endpoint.text;
    return new GantryError(
      "forbidden",
      "permission denied while trying to connect to the Docker daemon socket at " +
        `${endpoint.text}: ${request}: dial unix ${path}: connect: permission denied`,
      because,
    );
  }
  if (["ENOENT", "ECONNREFUSED", "ENOTSOCK", "ETIMEDOUT"].includes(errno ?? "")) {
    return new GantryError(
      "unavailable",
      `Cannot connect to the Docker daemon at ${endpoint.text}. Is the docker daemon running?`,
      because,
    );
  }
  const message = `error during connect: ${request}: ${dialError(error, endpoint)}`;
  return new GantryError("unavailable", message, because);
}

function connectionAdvice(errno: string | undefined, endpoint: Endpoint): Advice | undefined {
  if (endpoint.kind !== "unix") return undefined;
  const { path } = endpoint;
  const other = "or name another daemon: -H, DOCKER_HOST, gantry context use";
  switch (errno) {
    case "ENOENT":
      return {
        cause: `there is no socket ${path}`,
        remedy: ["start the daemon: systemctl start gantry, or gantry daemon", other],
      };
    case "ECONNREFUSED":
      return {
        cause: `nobody listens on ${path}: the daemon that made it has ended`,
        remedy: ["start it again: systemctl restart gantry, or gantry daemon", other],
      };
    case "EACCES":
    case "EPERM":
      return {
        cause: `this user may not use ${path}: it is for root and the socket's group`,
        remedy: [
          "join the group: sudo usermod -aG docker $USER, then log in again (that is as much as " +
            "root), or use sudo",
        ],
      };
    default:
      return undefined;
  }
}

/** What Go says of names and ports that lead nowhere. */
function dialError(error: unknown, endpoint: Endpoint): string {
  if (endpoint.kind !== "tcp") return messageOf(error);
  const code = (error as { code?: unknown }).code;
  if (code === "ENOTFOUND") return `dial tcp: lookup ${endpoint.host}: no such host`;
  if (code === "EAI_AGAIN") return `dial tcp: lookup ${endpoint.host}: no answer to the question`;
  if (code === "ERR_SOCKET_BAD_PORT") return `dial tcp: address ${endpoint.port}: invalid port`;
  return messageOf(error);
}

/** "GET" as Go's messages have it: "Get". */
export function verbOf(method: string): string {
  return method.charAt(0) + method.slice(1).toLowerCase();
}

/** A connection that broke, or a remote command that is missing; other errors stay as they are. */
export function requestError(error: unknown, method: string, url: string): unknown {
  const isConnection =
    error instanceof GantryError && (error.detail["eof"] || "remoteCommandMissing" in error.detail);
  if (error instanceof GantryError && !isConnection) return error;
  return new GantryError(
    "unavailable",
    `error during connect: ${verbOf(method)} ${JSON.stringify(url)}: ${messageOf(error)}`,
    { cause: error, detail: { connect: true } },
  );
}

/** The URL as docker's messages show it: a socket's path takes the host's place. */
export function shownUrl(endpoint: Endpoint, tls: boolean, path: string): string {
  const host = endpoint.kind === "unix" ? encodeURIComponent(endpoint.path) : hostHeader(endpoint);
  return `${tls ? "https" : "http"}://${host}${path}`;
}

/** The header `Host` of a request, for endpoints without a name too. */
export function hostHeader(endpoint: Endpoint): string {
  if (endpoint.kind === "tcp") return `${endpoint.host}:${endpoint.port}`;
  return endpoint.kind === "ssh" ? SSH_HOST : "api.moby.localhost";
}
