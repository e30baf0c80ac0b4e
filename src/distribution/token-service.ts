// One request to a registry's token service: the OAuth2 form with a refresh token (POST), or
// docker's older one with Basic credentials or none (GET). A service that does not know the form
// gets the older request.

import type { IncomingMessage } from "node:http";
import { GantryError } from "../base/index.ts";
import type { Credentials } from "./contract.ts";
import { dropBody, type Exchange, exchange, readBody } from "./http-exchange.ts";
import { registryError } from "./registry-error.ts";
import type { Transport } from "./transport.ts";

const tokenBytesMax = 1 << 20;
const tokenCharsMax = 64 << 10;
/** The specification's, where nothing is said. */
const expiresInSecondsDefault = 60;
const CLIENT_ID = "docker";

export interface TokenAnswer {
  token: string;
  expiresInSeconds: number;
  /** Present when it was asked for: `docker login` keeps it instead of the password. */
  refreshToken?: string;
}
export interface TokenRequest {
  realm: string;
  service: string;
  scopes: readonly string[];
  credentials: Credentials;
  /** Whose challenge it was. */
  from: URL;
  /** A refresh token is wanted. */
  offline: boolean;
  transport: Transport;
  userAgent: string;
  signal?: AbortSignal;
}

export async function requestToken(request: TokenRequest): Promise<TokenAnswer> {
  const realm = realmOf(request);
  if (!request.credentials.identityToken) return read(await get(request, realm));
  const posted = await post(request, realm);
  const { statusCode } = posted.response;
  if (statusCode !== 404 && statusCode !== 405) return read(posted);
  dropBody(posted.response);
  return read(await get(request, realm));
}

export function basicHeader({ username = "", password = "" }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function post(request: TokenRequest, url: URL): Promise<Exchange> {
  const { service, scopes, credentials, userAgent, transport, signal } = request;
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    refresh_token: credentials.identityToken ?? "",
    service,
    client_id: CLIENT_ID,
    scope: scopes.join(" "),
  });
  return exchange({
    method: "POST",
    url,
    headers: {
      "User-Agent": userAgent,
      "Content-Type": "application/x-www-form-urlencoded",
    },
    body: Buffer.from(form.toString()),
    // A redirect elsewhere would take the refresh token along.
    followRedirects: false,
    transport,
    ...(signal ? { signal } : {}),
  });
}

function get(request: TokenRequest, realm: URL): Promise<Exchange> {
  const { service, scopes, credentials, userAgent, transport, signal } = request;
  const url = new URL(realm);
  if (service) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const { username = "", password, identityToken } = credentials;
  // A refresh token that no form took is a password without a name.
  const secret = password ?? identityToken;
  const known = username !== "" || Boolean(identityToken);
  if (username) url.searchParams.set("account", username);
  if (request.offline) {
    url.searchParams.set("offline_token", "true");
    url.searchParams.set("client_id", CLIENT_ID);
  }
  const basic = basicHeader({ username, ...(secret === undefined ? {} : { password: secret }) });
  return exchange({
    method: "GET",
    url,
    headers: { "User-Agent": userAgent, ...(known ? { Authorization: basic } : {}) },
    transport,
    ...(signal ? { signal } : {}),
  });
}

async function read({ response }: Exchange): Promise<TokenAnswer> {
  if (response.statusCode !== 200) throw await tokenRefused(response);
  const answer = parse((await readBody(response, tokenBytesMax)).toString("utf8"));
  const token = answer["token"] || answer["access_token"];
  const isSound = typeof token === "string" && token.length <= tokenCharsMax;
  if (!isSound || !/^[\x21-\x7e]+$/.test(token)) {
    throw new GantryError(
      "internal",
      "authorization server did not include a token in the response",
    );
  }
  const { expires_in: seconds, refresh_token: refreshToken } = answer;
  const isTold = typeof seconds === "number" && seconds > 0 && Number.isFinite(seconds);
  return {
    token,
    expiresInSeconds: isTold ? seconds : expiresInSecondsDefault,
    ...(typeof refreshToken === "string" && refreshToken ? { refreshToken } : {}),
  };
}

function parse(text: string): Record<string, unknown> {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === "object" && answer !== null) return answer as Record<string, unknown>;
    throw new Error("it is not an object");
  } catch (cause) {
    const what = `unable to decode token response: ${(cause as Error).message}`;
    throw new GantryError("internal", what, { cause });
  }
}

/** Passwords do not go in the clear because a registry over TLS says so. */
function realmOf({ realm, from, transport }: TokenRequest): URL {
  let url: URL;
  try {
    url = new URL(realm);
  } catch (cause) {
    throw new GantryError("invalid", `invalid authentication realm: ${realm}`, { cause });
  }
  const downgrade = from.protocol === "https:" && url.protocol === "http:";
  const isHttp = url.protocol === "https:" || url.protocol === "http:";
  if (!isHttp || (downgrade && transport.tls.rejectUnauthorized)) {
    throw new GantryError("invalid", `authentication realm is not secure: ${realm}`);
  }
  url.username = "";
  url.password = "";
  return url;
}

async function tokenRefused(response: IncomingMessage): Promise<GantryError> {
  const error = await registryError(response);
  if (response.statusCode !== 401 && response.statusCode !== 403) return error;
  return new GantryError("unauthorized", error.message, {
    cause: error,
    detail: { code: "TOKEN" },
  });
}
