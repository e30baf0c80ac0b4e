// An access token for Google's services as its own libraries find one: a service account's key
// (signed JWT), a user's refresh token, or the metadata server of the machine. Asked for again some
// minutes before it is void.

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { HttpSender } from "./http-post.ts";

const SCOPE = "https://www.googleapis.com/auth/logging.write";
const GRANT_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_URL = "https://oauth2.googleapis.com/token";
const WELL_KNOWN = ".config/gcloud/application_default_credentials.json";
const METADATA_HOST = "metadata.google.internal";
const JWT_SECONDS = 3600;
const EARLY_MS = 4 * 60_000;
const METADATA_TIMEOUT_MS = 5000;

type KeyFile = Record<string, string | undefined> & { type?: string };
type Token = { value: string; endsMs: number };

export class GoogleCredentials {
  readonly #http: HttpSender;
  #key: KeyFile | undefined;
  #loaded = false;
  #token: Token | undefined;

  constructor(http: HttpSender) {
    this.#http = http;
  }

  async accessToken(signal: AbortSignal): Promise<string> {
    if (!this.#token || this.#token.endsMs - Date.now() < EARLY_MS) {
      this.#token = await this.#fetch(signal);
    }
    return this.#token.value;
  }

  /** What was answered is not taken any more. */
  forget(): void {
    this.#token = undefined;
  }

  /** "googleapis.com", unless the key is of another of Google's clouds. */
  async universe(): Promise<string> {
    return (await this.#keyFile())?.["universe_domain"] || "googleapis.com";
  }

  async #keyFile(): Promise<KeyFile | undefined> {
    if (this.#loaded) return this.#key;
    const named = process.env["GOOGLE_APPLICATION_CREDENTIALS"];
    const path = named || join(homedir(), WELL_KNOWN);
    try {
      this.#key = JSON.parse(await readFile(path, "utf8")) as KeyFile;
    } catch (cause) {
      if (named || errnoOf(cause) !== "ENOENT") {
        const what = `google: cannot read the credentials ${path}`;
        throw new GantryError("unavailable", `${what}: ${messageOf(cause)}`, { cause });
      }
    }
    this.#loaded = true;
    return this.#key;
  }

  async #fetch(signal: AbortSignal): Promise<Token> {
    const key = await this.#keyFile();
    if (!key) return await this.#fromMetadata(signal);
    if (key.type === "service_account") {
      const grant = { grant_type: GRANT_JWT, assertion: await assertion(key) };
      return await this.#exchange(key["token_uri"] || TOKEN_URL, grant, signal);
    }
    if (key.type === "authorized_user") {
      const { client_id = "", client_secret = "", refresh_token = "" } = key;
      const grant = { grant_type: "refresh_token", client_id, client_secret, refresh_token };
      return await this.#exchange(key["token_uri"] || TOKEN_URL, grant, signal);
    }
    const kinds = "service_account and authorized_user are supported";
    throw new GantryError("invalid", `google: credentials of type ${key.type}: ${kinds}`);
  }

  async #exchange(url: string, form: Record<string, string>, signal: AbortSignal): Promise<Token> {
    const body = new URLSearchParams(form).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const answer = await this.#http.call({ method: "POST", url, headers, body, signal });
    return tokenOf(answer);
  }

  async #fromMetadata(signal: AbortSignal): Promise<Token> {
    const url = metadataUrl("instance/service-accounts/default/token");
    const late = AbortSignal.any([signal, AbortSignal.timeout(METADATA_TIMEOUT_MS)]);
    const headers = { "metadata-flavor": "Google" };
    try {
      return tokenOf(await this.#http.call({ method: "GET", url, headers, signal: late }));
    } catch (cause) {
      signal.throwIfAborted();
      const what = "google: could not find default credentials";
      throw new GantryError("unavailable", `${what}: ${messageOf(cause)}`, { cause });
    }
  }
}

export function metadataUrl(path: string): string {
  const host = process.env["GCE_METADATA_HOST"] || METADATA_HOST;
  return `http://${host}/computeMetadata/v1/${path}`;
}

function tokenOf({
  status,
  statusText,
  body,
}: {
  status: number;
  statusText: string;
  body: Buffer;
}) {
  const text = body.subarray(0, 1024).toString();
  if (status !== 200) {
    throw new GantryError("unavailable", `oauth2: cannot fetch token: ${statusText}\n${text}`);
  }
  const answer = parse(body.toString());
  const { access_token: value, expires_in: seconds } = answer;
  if (typeof value !== "string" || value === "") {
    throw new GantryError("unavailable", "oauth2: server response missing access_token");
  }
  return { value, endsMs: Date.now() + 1000 * (typeof seconds === "number" ? seconds : 0) };
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

async function assertion(key: KeyFile): Promise<string> {
  const { importPKCS8, SignJWT } = await import("jose");
  const { client_email: email = "", private_key: pem = "", private_key_id: kid } = key;
  return await new SignJWT({ scope: SCOPE })
    .setProtectedHeader({ alg: "RS256", typ: "JWT", ...(kid !== undefined && { kid }) })
    .setIssuer(email)
    .setAudience(key["token_uri"] || TOKEN_URL)
    .setIssuedAt()
    .setExpirationTime(`${JWT_SECONDS}s`)
    .sign(await importPKCS8(pem, "RS256"));
}
