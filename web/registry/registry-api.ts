// The registry's own /v2 API by fetch, with the two ways to log in: HTTP Basic, and the token flow
// (WWW-Authenticate: Bearer). `credentials: "omit"` keeps the browser's own password dialog away.
// A password is kept in this object only: a reload forgets it.

import { type Json, list, record, text } from "./format.ts";

export const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const PAGE_SIZE = 100;

export class LoginNeeded extends Error {}

export class RegistryFailure extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface PageConfig {
  title: string;
  readOnly: boolean;
  canDelete: boolean;
  /** Whether there are users at all. */
  hasUsers: boolean;
}
export interface ManifestAnswer {
  digest: string;
  mediaType: string;
  raw: string;
  manifest: Json;
}
export interface PageOf {
  names: string[];
  next?: string;
}
export interface Found {
  name: string;
  description: string;
}

export class RegistryApi {
  #basic: string | undefined;
  #scheme: "none" | "basic" | "bearer" = "none";
  #tokens = new Map<string, string>();
  user = "";

  /** Throws LoginNeeded where the registry does not take the pair. */
  async logIn(user: string, password: string): Promise<void> {
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    this.#basic = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    this.#tokens.clear();
    try {
      await this.#request("/v2/", "");
      this.user = user;
    } catch (error) {
      this.logOut();
      throw error;
    }
  }

  logOut(): void {
    this.#basic = undefined;
    this.#tokens.clear();
    this.user = "";
  }

  async config(): Promise<PageConfig> {
    const answer = await fetch("/ui/config.json", { credentials: "omit" });
    const config = record(await answer.json());
    return {
      title: text(config["title"]),
      readOnly: config["readOnly"] === true,
      canDelete: config["canDelete"] === true,
      hasUsers: config["hasUsers"] === true,
    };
  }

  async repositories(page = `/v2/_catalog?n=${PAGE_SIZE}`): Promise<PageOf> {
    const answer = await this.#request(page, "registry:catalog:*");
    return { names: strings(record(await answer.json())["repositories"]), ...next(answer, page) };
  }

  async tags(name: string, page = `/v2/${name}/tags/list?n=${PAGE_SIZE}`): Promise<PageOf> {
    const answer = await this.#request(page, pullOf(name));
    return { names: strings(record(await answer.json())["tags"]), ...next(answer, page) };
  }

  async manifest(name: string, reference: string): Promise<ManifestAnswer> {
    const answer = await this.#request(`/v2/${name}/manifests/${reference}`, pullOf(name), {
      headers: { Accept: MANIFEST_TYPES.join(", ") },
    });
    const raw = await answer.text();
    return {
      digest: answer.headers.get("Docker-Content-Digest") ?? "",
      mediaType: answer.headers.get("Content-Type") ?? "",
      raw,
      manifest: record(JSON.parse(raw)),
    };
  }

  /** A small blob of JSON: an image's configuration. Never a redirect to another address. */
  async json(name: string, digest: string): Promise<Json> {
    const query = new URLSearchParams({ name, digest });
    const answer = await this.#request(`/ui/blob?${query}`, pullOf(name));
    return record(await answer.json());
  }

  async referrers(name: string, digest: string): Promise<Json[]> {
    const answer = await this.#request(`/v2/${name}/referrers/${digest}`, pullOf(name));
    return list(record(await answer.json())["manifests"]).map(record);
  }

  async search(term: string): Promise<Found[]> {
    const query = new URLSearchParams({ q: term, n: String(PAGE_SIZE) });
    const answer = await this.#request(`/v1/search?${query}`, "registry:catalog:*");
    return list(record(await answer.json())["results"])
      .map(record)
      .map(({ name, description }) => ({ name: text(name), description: text(description) }));
  }

  /** Whether this caller may delete in the repository. */
  async mayDelete(name: string): Promise<boolean> {
    const query = new URLSearchParams({ name });
    const answer = await this.#request(`/ui/access?${query}`, deleteOf(name));
    return strings(record(await answer.json())["actions"]).includes("delete");
  }

  /** A tag, or a manifest by its digest. */
  async remove(name: string, reference: string): Promise<void> {
    const path = `/v2/${name}/manifests/${reference}`;
    await this.#request(path, deleteOf(name), { method: "DELETE" });
  }

  async #request(path: string, scope: string, init: RequestInit = {}): Promise<Response> {
    const authorization = this.#authorization(scope);
    const first = await this.#send(path, init, authorization);
    if (first.status !== 401) return await answered(first);
    const challenge = parseChallenge(first.headers.get("WWW-Authenticate") ?? "");
    const second = await this.#answerTo(challenge, scope);
    // What was just refused is not tried again.
    if (second === undefined || second === authorization) throw new LoginNeeded();
    const answer = await this.#send(path, init, second);
    if (answer.status === 401) throw new LoginNeeded();
    return await answered(answer);
  }

  #send(path: string, init: RequestInit, authorization: string | undefined): Promise<Response> {
    const headers = new Headers(init.headers);
    if (authorization !== undefined) headers.set("Authorization", authorization);
    return fetch(path, { ...init, headers, credentials: "omit", cache: "no-store" });
  }

  #authorization(scope: string): string | undefined {
    if (this.#scheme === "bearer") return this.#tokens.get(scope);
    return this.#scheme === "basic" && this.#basic ? `Basic ${this.#basic}` : undefined;
  }

  async #answerTo(challenge: Challenge, scope: string): Promise<string | undefined> {
    if (challenge.scheme === "basic") {
      this.#scheme = "basic";
      return this.#basic === undefined ? undefined : `Basic ${this.#basic}`;
    }
    const realm = challenge.parameters.get("realm");
    if (challenge.scheme !== "bearer" || realm === undefined) return undefined;
    this.#scheme = "bearer";
    const address = new URL(realm, location.href);
    const service = challenge.parameters.get("service");
    if (service !== undefined) address.searchParams.set("service", service);
    if (scope !== "") address.searchParams.set("scope", scope);
    const headers: HeadersInit = this.#basic ? { Authorization: `Basic ${this.#basic}` } : {};
    const answer = await fetch(address, { headers, credentials: "omit", cache: "no-store" });
    if (answer.status === 401) throw new LoginNeeded();
    const body = record(await (await answered(answer)).json());
    const token = text(body["token"]) || text(body["access_token"]);
    if (token === "") return undefined;
    this.#tokens.set(scope, `Bearer ${token}`);
    return `Bearer ${token}`;
  }
}

const pullOf = (name: string): string => `repository:${name}:pull`;
const deleteOf = (name: string): string => `repository:${name}:delete,pull`;

export interface Challenge {
  scheme: string;
  parameters: Map<string, string>;
}

/** RFC 9110 11.6.1, as far as registries use it: one challenge with quoted parameters. */
export function parseChallenge(header: string): Challenge {
  const [scheme = ""] = header.trim().split(/\s/, 1);
  const parameters = new Map<string, string>();
  const rest = header.trim().slice(scheme.length);
  for (const [, name, quoted, plain] of rest.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
    parameters.set(name!.toLowerCase(), quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "");
  }
  return { scheme: scheme.toLowerCase(), parameters };
}

async function answered(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  const body = await answer.text().catch(() => "");
  let first: Json = {};
  try {
    first = record(list(record(JSON.parse(body))["errors"])[0]);
  } catch {
    // No error of the distribution spec: a proxy's page, say.
  }
  const message = text(first["message"]) || answer.statusText || `status ${answer.status}`;
  throw new RegistryFailure(answer.status, text(first["code"]), message);
}

function strings(value: unknown): string[] {
  return list(value).filter((item) => typeof item === "string");
}

/** The next page, if there is one, on this same registry. */
function next(answer: Response, base: string): { next?: string } {
  const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.headers.get("Link") ?? "")?.[1];
  if (link === undefined) return {};
  const address = new URL(link, new URL(base, location.origin));
  return address.origin === location.origin ? { next: address.pathname + address.search } : {};
}
