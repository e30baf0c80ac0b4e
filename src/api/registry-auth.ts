// X-Registry-Auth: credentials for one registry, JSON in base64. What cannot be read counts as no
// credentials, as in docker: old clients send odd things.

import type { IncomingHttpHeaders } from "node:http";
import type { Credentials } from "../engine/index.ts";

export function registryAuth(headers: IncomingHttpHeaders): { credentials?: Credentials } {
  const header = headers["x-registry-auth"];
  if (typeof header !== "string" || header === "") return {};
  try {
    // Node's decoder takes both alphabets, padded or not.
    const fields: unknown = JSON.parse(Buffer.from(header, "base64").toString("utf8"));
    return { credentials: credentialsOf(fields) };
  } catch {
    return {};
  }
}

/** Docker's AuthConfig; "auth" is user:password in base64. */
export function credentialsOf(fields: unknown): Credentials {
  if (typeof fields !== "object" || fields === null) return {};
  const { username, password, auth, identitytoken, registrytoken } = fields as Record<
    string,
    unknown
  >;
  const pair = typeof auth === "string" ? Buffer.from(auth, "base64").toString("utf8") : "";
  const colon = pair.indexOf(":");
  const user = text(username) || (colon > 0 ? pair.slice(0, colon) : "");
  const secret = text(password) || (colon > 0 ? pair.slice(colon + 1) : "");
  return {
    ...(user ? { username: user, password: secret } : {}),
    ...(text(identitytoken) ? { identityToken: text(identitytoken) } : {}),
    ...(text(registrytoken) ? { registryToken: text(registrytoken) } : {}),
  };
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
