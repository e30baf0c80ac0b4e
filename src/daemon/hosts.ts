// Addresses to listen on, as dockerd's -H takes them: unix://PATH, tcp://HOST:PORT, fd://, fd://N,
// fd://NAME.

import { GantryError } from "../base/index.ts";

export type ListenAddress =
  | { kind: "unix"; path: string; text: string }
  | { kind: "tcp"; host: string; port: number; text: string }
  /** Sockets that systemd passed: all of them, the one of a number, or those of a name. */
  | { kind: "fd"; which: "all" | number | string; text: string };

const PORT_PLAIN = 2375;
const PORT_TLS = 2376;
const SOCKET_PATH_BYTES_MAX = 107;
const FIRST_PASSED_DESCRIPTOR = 3;
const SOCKET_NAME = /^[\x21-\x39\x3b-\x7e]{1,255}$/;

export function parseHost(text: string, { tls }: { tls: boolean }): ListenAddress {
  const trimmed = text.trim();
  const scheme = /^([a-z]+):\/\//.exec(trimmed)?.[1];
  const rest = scheme === undefined ? trimmed : trimmed.slice(scheme.length + 3);
  if (scheme === "unix") return parseUnix(rest || "/run/gantry.sock", trimmed);
  if (scheme === "fd") return parseDescriptor(rest, trimmed);
  if (scheme === "tcp") return parseTcp(rest, trimmed, tls);
  if (scheme === undefined && trimmed !== "") {
    if (trimmed.startsWith("/")) return parseUnix(trimmed, `unix://${trimmed}`);
    return parseTcp(rest, `tcp://${trimmed}`, tls);
  }
  if (scheme !== undefined) {
    throw new GantryError(
      "invalid",
      `invalid bind address (${text}): unsupported proto '${scheme}'`,
    );
  }
  throw invalid(text);
}

function parseUnix(path: string, text: string): ListenAddress {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new GantryError(
      "invalid",
      `unix socket path is longer than ${SOCKET_PATH_BYTES_MAX} bytes: ${path}`,
    );
  }
  return { kind: "unix", path, text };
}

function parseDescriptor(rest: string, text: string): ListenAddress {
  if (rest === "" || rest === "*") return { kind: "fd", which: "all", text };
  if (/^\d+$/.test(rest)) {
    if (Number(rest) < FIRST_PASSED_DESCRIPTOR) throw invalid(text);
    return { kind: "fd", which: Number(rest), text };
  }
  // FileDescriptorName= of systemd.socket(5).
  if (!SOCKET_NAME.test(rest)) throw invalid(text);
  return { kind: "fd", which: rest, text };
}

function parseTcp(rest: string, text: string, tls: boolean): ListenAddress {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:/[\]]*)(?::(\d*))?\/?$/.exec(rest);
  if (match === null) throw invalid(text);
  const [, host = "", portText = ""] = match;
  const port = portText === "" ? (tls ? PORT_TLS : PORT_PLAIN) : Number(portText);
  if (port > 65_535) throw invalid(text);
  return { kind: "tcp", host: host.replace(/^\[|\]$/g, "") || "127.0.0.1", port, text };
}

function invalid(text: string): GantryError {
  return new GantryError("invalid", `invalid bind address format: ${text}`);
}
