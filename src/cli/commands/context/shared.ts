// What the commands of `context` share: --docker's keys, and reading key material from files.

import { readFileSync } from "node:fs";
import { GantryError, messageOf, parseBool } from "../../../base/index.ts";
import { parseEndpoint } from "../../../client/index.ts";
import type { ContextMeta, TlsFiles } from "../../config/context-store.ts";
import { callerPath } from "../../io.ts";
import type { Session } from "../../session.ts";

const KEYS = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];

export type DockerEndpoint = NonNullable<ContextMeta["Endpoints"]["docker"]>;

/** "host=tcp://…,ca=…" lists, as pflag's stringToString gives them. */
export function parsePairs(text: string, previous: unknown): Record<string, string> {
  const out = { ...(previous as Record<string, string>) };
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 0) throw new GantryError("invalid", `${part} must be formatted as key=value`);
    out[part.slice(0, equals)] = part.slice(equals + 1);
  }
  return out;
}

/** The endpoint and key material that --docker describes. */
export function endpointOf(
  session: Session,
  pairs: Record<string, string>,
): { docker: DockerEndpoint; tls: TlsFiles } {
  const unknown = Object.keys(pairs).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) {
    throw new GantryError(
      "invalid",
      `unrecognized config key: ${unknown.map((key) => `"${key}"`).join(", ")}`,
    );
  }
  if (pairs["from"]) {
    const { docker, tls } = stored(session, pairs["from"]);
    return { docker, tls };
  }
  const tls: TlsFiles = {};
  for (const [key, file] of [
    ["ca", "ca.pem"],
    ["cert", "cert.pem"],
    ["key", "key.pem"],
  ] as const) {
    if (!pairs[key]) continue;
    try {
      tls[file] = readFileSync(callerPath(session.io, pairs[key]));
    } catch (cause) {
      throw new GantryError("invalid", `unable to read ${pairs[key]}: ${messageOf(cause)}`, {
        cause,
      });
    }
  }
  const SkipTLSVerify = pairs["skip-tls-verify"] ? parseBool(pairs["skip-tls-verify"]) : false;
  const Host = pairs["host"] ?? "";
  if (Host !== "") {
    try {
      parseEndpoint(Host);
    } catch (cause) {
      throw new GantryError(
        "invalid",
        `unable to apply docker endpoint options: ${messageOf(cause)}`,
        { cause },
      );
    }
  }
  return { docker: { ...(Host ? { Host } : {}), SkipTLSVerify }, tls };
}

/** A stored context's endpoint, or the one that the environment means for "default". */
export function stored(
  session: Session,
  name: string,
): { meta: ContextMeta; docker: DockerEndpoint; tls: TlsFiles } {
  if (name === "default") {
    const meta = defaultMeta(session);
    return { meta, docker: meta.Endpoints.docker!, tls: {} };
  }
  const meta = session.contexts.get(name);
  return { meta, docker: meta.Endpoints.docker ?? {}, tls: session.contexts.tls(name) };
}

/** The context that the environment, or its absence, describes. */
export function defaultMeta(session: Session): ContextMeta {
  const host = session.globals.values.host[0] ?? session.io.env["DOCKER_HOST"];
  return {
    Name: "default",
    Metadata: {},
    Endpoints: {
      docker: { Host: host ?? "unix:///run/gantry.sock", SkipTLSVerify: false },
    },
  };
}
