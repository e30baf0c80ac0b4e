// What the commands of `context` share: --docker's keys, and reading key material from files.

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { GantryError, messageOf, parseBool } from "../../../base/index.ts";
import { parseEndpoint } from "../../../client/index.ts";
import { type ContextMeta, checkContextName, type TlsFiles } from "../../config/context-store.ts";
import { callerPath } from "../../io.ts";
import { DEFAULT_SOCKET, type Session } from "../../session.ts";
import { fileError } from "../../streams/files.ts";

const KEYS = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];

const DEFAULT = "default";
/** What the context that is not stored is for. */
export const DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration";

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
  try {
    return describedEndpoint(session, pairs);
  } catch (cause) {
    const message = `unable to create docker endpoint config: ${messageOf(cause)}`;
    throw new GantryError("invalid", message, { cause });
  }
}

function describedEndpoint(
  session: Session,
  pairs: Record<string, string>,
): { docker: DockerEndpoint; tls: TlsFiles } {
  const unknown = Object.keys(pairs).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) {
    throw new GantryError("invalid", `unrecognized config key: ${unknown[0]}`);
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
    if (pairs[key]) tls[file] = readMaterial(session, pairs[key]);
  }
  const SkipTLSVerify = skipsVerification(pairs["skip-tls-verify"]);
  const Host = pairs["host"] ?? "";
  try {
    if (Host !== "") parseEndpoint(Host);
    checkMaterial(tls);
  } catch (cause) {
    const message = `invalid docker endpoint options: ${messageOf(cause)}`;
    throw new GantryError("invalid", message, { cause });
  }
  return { docker: { ...(Host ? { Host } : {}), SkipTLSVerify }, tls };
}

function readMaterial(session: Session, path: string): Buffer {
  try {
    return readFileSync(callerPath(session.io, path));
  } catch (cause) {
    throw fileError(path, cause);
  }
}

function skipsVerification(text: string | undefined): boolean {
  if (!text) return false;
  try {
    return parseBool(text);
  } catch (cause) {
    const message = `skip-tls-verify: parsing ${JSON.stringify(text)}: invalid syntax`;
    throw new GantryError("invalid", message, { cause });
  }
}

/** Refuses material that no TLS connection could be made with. */
function checkMaterial(tls: TlsFiles): void {
  const failed = (why: string, cause?: unknown) =>
    new GantryError("invalid", `failed to retrieve context tls info: ${why}`, { cause });
  const { "ca.pem": ca, "cert.pem": cert, "key.pem": key } = tls;
  if (ca && !isCertificate(ca)) throw failed("ca.pem seems invalid");
  if (!cert && !key) return;
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw failed(messageOf(cause), cause);
  }
  if (!cert || !key) throw failed("tls: failed to find any PEM data in certificate input");
}

function isCertificate(pem: Buffer): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

/** A stored context's endpoint, or the one that the environment means for "default". */
export function stored(
  session: Session,
  name: string,
): { meta: ContextMeta; docker: DockerEndpoint; tls: TlsFiles } {
  if (name === DEFAULT) {
    const meta = defaultMeta(session);
    return { meta, docker: meta.Endpoints.docker!, tls: {} };
  }
  checkContextName(name);
  const meta = session.contexts.get(name);
  return { meta, docker: meta.Endpoints.docker ?? {}, tls: session.contexts.tls(name) };
}

/** What docker says where a context is without effect. */
export function hostOverrides(what: string): string {
  return (
    "Warning: DOCKER_HOST environment variable overrides the active context. " +
    `To use ${what}, either set the global --context flag, ` +
    "or unset DOCKER_HOST environment variable."
  );
}

/** The context that the environment, or its absence, describes. */
export function defaultMeta(session: Session): ContextMeta {
  const host = session.globals.values.host[0] || session.io.env["DOCKER_HOST"];
  return {
    Name: DEFAULT,
    Metadata: {},
    Endpoints: {
      docker: { Host: host || `unix://${DEFAULT_SOCKET}`, SkipTLSVerify: false },
    },
  };
}
