// What a registry answers when it refuses, as an error that keeps its code; and the sentences that
// docker makes of it for pulls.

import type { IncomingMessage } from "node:http";
import { type ErrorKind, GantryError } from "../base/index.ts";
import { familiarName, familiarReference, type Reference } from "../spec/index.ts";
import { parseChallenges } from "./challenge.ts";
import { readBody } from "./http-exchange.ts";

const errorBytesMax = 64 << 10;

const KINDS: Record<string, ErrorKind> = {
  UNAUTHORIZED: "unauthorized",
  DENIED: "forbidden",
  MANIFEST_UNKNOWN: "not-found",
  NAME_UNKNOWN: "not-found",
  BLOB_UNKNOWN: "not-found",
  TOOMANYREQUESTS: "exhausted",
  UNSUPPORTED: "invalid",
};

/** Reads the answer's body and returns the error that it means. */
export async function registryError(response: IncomingMessage): Promise<GantryError> {
  const status = response.statusCode ?? 0;
  const text = await readBody(response, errorBytesMax).catch(() => Buffer.alloc(0));
  const found = firstError(text.toString("utf8"));
  const code = found?.code ?? codeOf(status);
  const shown = code.toLowerCase().replaceAll("_", " ");
  const message = found
    ? `${shown}: ${found.message || shown}`
    : `received unexpected HTTP status: ${status} ${response.statusMessage ?? ""}`.trimEnd();
  const retryAfter = response.headers["retry-after"];
  const scope = lackingScope(response);
  if (scope !== undefined && code !== "DENIED") return denied(scope, found && message, status);
  return new GantryError(
    KINDS[code] ?? "internal",
    found || status < 500 ? plain(code, message) : message,
    {
      detail: { code, status, ...(retryAfter ? { retryAfter } : {}) },
    },
  );
}

/** A good token without the right to do this (RFC 6750): docker says both what the challenge says
 * and what the answer's body says. */
function denied(why: string, message: string | undefined, status: number): GantryError {
  const first = `denied: ${why}`;
  const text = message === undefined ? first : `errors:\n${first}\n${message}\n`;
  return new GantryError("forbidden", text, { detail: { code: "DENIED", status } });
}

function lackingScope({ headers }: IncomingMessage): string | undefined {
  const challenges = parseChallenges(headers["www-authenticate"] ?? "");
  const lacking = challenges.find(({ parameters }) => parameters["error"] === "insufficient_scope");
  if (lacking === undefined) return undefined;
  return lacking.parameters["error_description"] || "requested access to the resource is denied";
}

function plain(code: string, message: string): string {
  if (!message.startsWith("received unexpected")) return message;
  const known: Record<string, string> = {
    UNAUTHORIZED: "unauthorized: authentication required",
    DENIED: "denied: requested access to the resource is denied",
    MANIFEST_UNKNOWN: "manifest unknown: manifest unknown",
    TOOMANYREQUESTS: "toomanyrequests: too many requests",
  };
  return known[code] ?? message;
}

function codeOf(status: number): string {
  const codes: Record<number, string> = {
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "MANIFEST_UNKNOWN",
    429: "TOOMANYREQUESTS",
  };
  return codes[status] ?? "UNKNOWN";
}

function firstError(text: string): { code: string; message: string } | undefined {
  try {
    const document = JSON.parse(text) as { errors?: unknown; details?: unknown };
    const first: unknown = Array.isArray(document.errors) ? document.errors[0] : undefined;
    if (typeof first !== "object" || first === null) {
      if (typeof document.details !== "string") return undefined;
      return { code: "UNAUTHORIZED", message: document.details };
    }
    const { code, message } = first as Record<string, unknown>;
    if (typeof code !== "string") return undefined;
    return { code, message: typeof message === "string" ? message : "" };
  } catch {
    return undefined;
  }
}

/** Docker's sentence for a pull that the registry refuses. */
export function pullError(error: unknown, reference: Reference): unknown {
  if (!(error instanceof GantryError)) return error;
  const { message } = error;
  const told = (kind: ErrorKind, text: string): GantryError =>
    new GantryError(kind, `${text}: ${message}`, { cause: error, detail: { ...error.detail } });
  switch (error.detail["code"]) {
    case "DENIED":
      return told(
        "not-found",
        `pull access denied for ${familiarName(reference)}, ` +
          "repository does not exist or may require 'docker login'",
      );
    case "MANIFEST_UNKNOWN":
      return told("not-found", `manifest for ${familiarReference(reference)} not found`);
    case "NAME_UNKNOWN":
      return told("not-found", `repository ${familiarName(reference)} not found`);
    default:
      return error;
  }
}
