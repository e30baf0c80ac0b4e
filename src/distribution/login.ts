// Login: are these credentials good? The registry's own answer to /v2/, through whatever it asks.

import { GantryError, messageOf } from "../base/index.ts";
import { parseChallenges } from "./challenge.ts";
import type { Credentials } from "./contract.ts";
import type { Registries } from "./registries.ts";

/** Returns the refresh token if the registry gives one. Throws unauthorized. */
export async function checkLogin(
  registries: Registries,
  host: string,
  credentials: Credentials,
  { signal }: { signal?: AbortSignal } = {},
): Promise<{ identityToken: string }> {
  const o = { credentials, ...(signal ? { signal } : {}) };
  const registry = await registries.open(host, o);
  const url = new URL("/v2/", registry.base);
  // Asked without credentials first: only the challenge tells who is to be asked.
  const { response } = await registry.ask("GET", url, { scopes: [] }).catch((error) => {
    throw refused(url, error);
  });
  response.resume();
  if (response.statusCode === 200) {
    return { identityToken: await refreshToken() };
  }
  if (response.statusCode === 401 || response.statusCode === 403) {
    throw refused(url, new Error("unauthorized: authentication required"));
  }
  throw new GantryError(
    "internal",
    `login attempt to ${url} failed with status: ${response.statusCode} ` +
      `${response.statusMessage ?? ""}`.trimEnd(),
  );

  async function refreshToken(): Promise<string> {
    const anonymous = await registries.open(host, signal ? { signal } : {});
    const asked = await anonymous.challenge();
    const bearer = parseChallenges(asked).find(({ scheme }) => scheme === "bearer");
    if (bearer === undefined || !credentials.username) return "";
    const from = { from: url, offline: true, ...(signal ? { signal } : {}) };
    const answer = await registry.authorization.fetchToken(bearer, [], from);
    return answer.refreshToken ?? "";
  }
}

function refused(url: URL, error: unknown): GantryError {
  const message = messageOf(error);
  const shown = message.startsWith("Get ") ? message : `Get "${url}": ${message}`;
  return new GantryError("unauthorized", shown, { cause: error });
}
