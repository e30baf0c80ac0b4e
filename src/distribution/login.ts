// Login: are these credentials good? The registry's own answer to /v2/, through whatever it asks.

import { GantryError, messageOf } from "../base/index.ts";
import { parseChallenges } from "./challenge.ts";
import type { Credentials } from "./contract.ts";
import { dropBody } from "./http-exchange.ts";
import type { Registries } from "./registries.ts";
import { registryError } from "./registry-error.ts";

/** Returns the refresh token if the registry gives one. Throws unauthorized. */
export async function checkLogin(
  registries: Registries,
  host: string,
  credentials: Credentials,
  { signal }: { signal?: AbortSignal } = {},
): Promise<{ identityToken: string }> {
  const o = { credentials, fresh: true, ...(signal ? { signal } : {}) };
  const registry = await registries.open(host, o);
  const url = new URL("/v2/", registry.base);
  // Only the challenge tells who is to be asked, and whether there are refresh tokens.
  const asked = await registry.challenge();
  const bearer = parseChallenges(asked).find(({ scheme }) => scheme === "bearer");
  let identityToken = "";
  if (bearer?.parameters["realm"] && credentials.username && !credentials.identityToken) {
    const from = { from: url, offline: true, ...(signal ? { signal } : {}) };
    const answer = await registry.authorization.fetchToken(bearer, [], from).catch((error) => {
      throw refused(url, error);
    });
    identityToken = answer.refreshToken ?? "";
  }
  const { response } = await registry.ask("GET", url, { scopes: [] }).catch((error) => {
    throw refused(url, error);
  });
  if (response.statusCode === 200) {
    dropBody(response);
    return { identityToken };
  }
  if (response.statusCode === 401 || response.statusCode === 403) {
    throw refused(url, await registryError(response));
  }
  dropBody(response);
  throw new GantryError(
    "internal",
    `login attempt to ${url} failed with status: ${response.statusCode} ` +
      `${response.statusMessage ?? ""}`.trimEnd(),
  );
}

/** A refusal is the user's; that nobody answers is not. */
function refused(url: URL, error: unknown): unknown {
  if (error instanceof GantryError && error.detail["unreachable"]) return error;
  const message = messageOf(error);
  const shown = /^Get "/.test(message) ? message : `Get "${url}": ${message}`;
  return new GantryError("unauthorized", shown, { cause: error });
}
