// Who we are to one registry: answers its challenges with Basic credentials or with tokens of its
// token service (docker token and OAuth2 specs), and remembers tokens by scope. Credentials go to
// the registry and to the token service that it names, nowhere else.

import { GantryError } from "../base/index.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credentials } from "./contract.ts";
import { exchange, readBody, type TlsTrust } from "./http-exchange.ts";
import { registryError } from "./registry-error.ts";

const tokenBytesMax = 1 << 20;
const CLIENT_ID = "docker";

export interface TokenAnswer {
  token: string;
  /** Present when it was asked for: `docker login` keeps it instead of the password. */
  refreshToken?: string;
}

export class Authorization {
  #credentials: Credentials;
  #tls: TlsTrust;
  #userAgent: string;
  #basic = false;
  #tokens = new Map<string, Promise<string>>();

  constructor(credentials: Credentials, { tls, userAgent }: { tls: TlsTrust; userAgent: string }) {
    this.#credentials = credentials;
    this.#tls = tls;
    this.#userAgent = userAgent;
  }

  /** The header for a request of this scope, if anything is known to send. */
  async header(scope: string): Promise<string | undefined> {
    const { registryToken } = this.#credentials;
    if (registryToken) return `Bearer ${registryToken}`;
    if (this.#basic) return this.#basicHeader();
    const token = await this.#tokens.get(scope);
    return token === undefined ? undefined : `Bearer ${token}`;
  }

  /** Answers a 401. Returns false when there is nothing (more) that could be tried; throws when
   * the token service refuses. `stale` is the header that was refused. */
  async answer(
    challengeHeader: string,
    scopes: readonly string[],
    { from, stale, signal }: { from: URL; stale?: string; signal?: AbortSignal },
  ): Promise<boolean> {
    const challenges = parseChallenges(challengeHeader);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const key = scopes.join(" ");
    if (bearer?.parameters["realm"]) {
      if (this.#credentials.registryToken) return false;
      const known = await this.#tokens.get(key);
      if (known !== undefined && stale !== `Bearer ${known}`) return true;
      const fetched = this.fetchToken(bearer, scopes, { from, ...(signal ? { signal } : {}) });
      const token = fetched.then((answer) => answer.token);
      token.catch(() => this.#tokens.delete(key));
      this.#tokens.set(key, token);
      await token;
      return true;
    }
    const basic = challenges.some(({ scheme }) => scheme === "basic");
    if (!basic || stale?.startsWith("Basic ")) return false;
    if (!this.#credentials.username) {
      throw new GantryError("unauthorized", "no basic auth credentials", {
        detail: { code: "NO_CREDENTIALS" },
      });
    }
    this.#basic = true;
    return true;
  }

  #basicHeader(): string {
    const { username = "", password = "" } = this.#credentials;
    return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  }

  /** Asks the token service; anonymously when there are no credentials. */
  async fetchToken(
    { parameters }: Challenge,
    scopes: readonly string[],
    { from, offline = false, signal }: { from: URL; offline?: boolean; signal?: AbortSignal },
  ): Promise<TokenAnswer> {
    const realm = realmOf(parameters["realm"] ?? "", from, this.#tls);
    const service = parameters["service"] ?? "";
    const { identityToken } = this.#credentials;
    if (identityToken) {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: identityToken,
        service,
        client_id: CLIENT_ID,
        scope: scopes.join(" "),
      });
      return this.#ask("POST", realm, { form, ...(signal ? { signal } : {}) });
    }
    if (service) realm.searchParams.set("service", service);
    for (const scope of scopes) realm.searchParams.append("scope", scope);
    const { username } = this.#credentials;
    if (username) {
      realm.searchParams.set("account", username);
      if (offline) {
        realm.searchParams.set("offline_token", "true");
        realm.searchParams.set("client_id", CLIENT_ID);
      }
    }
    return this.#ask("GET", realm, { ...(signal ? { signal } : {}) });
  }

  async #ask(
    method: string,
    url: URL,
    { form, signal }: { form?: URLSearchParams; signal?: AbortSignal },
  ): Promise<TokenAnswer> {
    const headers: Record<string, string> = { "User-Agent": this.#userAgent };
    if (form) headers["Content-Type"] = "application/x-www-form-urlencoded";
    else if (this.#credentials.username) headers["Authorization"] = this.#basicHeader();
    const { response } = await exchange({
      method,
      url,
      headers,
      tls: this.#tls,
      ...(form ? { body: Buffer.from(form.toString()) } : {}),
      ...(signal ? { signal } : {}),
    });
    if (response.statusCode !== 200) throw await tokenRefused(url, method, response);
    const answer = JSON.parse((await readBody(response, tokenBytesMax)).toString()) as Record<
      string,
      unknown
    >;
    const token = answer["token"] || answer["access_token"];
    if (typeof token !== "string" || /[\r\n]/.test(token)) {
      throw new GantryError(
        "internal",
        "authorization server did not include a token in the response",
      );
    }
    const refreshToken = answer["refresh_token"];
    return { token, ...(typeof refreshToken === "string" ? { refreshToken } : {}) };
  }
}

/** Passwords do not go in the clear because a registry over TLS says so. */
function realmOf(text: string, from: URL, tls: TlsTrust): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new GantryError("invalid", `invalid authentication realm: ${text}`, { cause });
  }
  const downgrade = from.protocol === "https:" && url.protocol === "http:";
  const plain = url.protocol === "https:" || url.protocol === "http:";
  if (!plain || (downgrade && tls.rejectUnauthorized)) {
    throw new GantryError("invalid", `authentication realm is not secure: ${text}`);
  }
  return url;
}

async function tokenRefused(
  url: URL,
  method: string,
  response: Parameters<typeof registryError>[0],
): Promise<GantryError> {
  const error = await registryError(response);
  if (response.statusCode !== 401 && response.statusCode !== 403) return error;
  const shown = `${method === "POST" ? "Post" : "Get"} "${url}": ${error.message}`;
  return new GantryError("unauthorized", shown, { cause: error, detail: { code: "TOKEN" } });
}
