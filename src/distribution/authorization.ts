// Who we are to one registry: answers its challenges with Basic credentials or with tokens of its
// token service, and remembers tokens by scope until they expire. Credentials go to the registry
// and to the token service that it names, nowhere else. One Authorization may serve several
// operations at once: a token is fetched once for all who wait for it.

import { GantryError } from "../base/index.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credentials } from "./contract.ts";
import { basicHeader, requestToken, type TokenAnswer } from "./token-service.ts";
import type { Transport } from "./transport.ts";

/** Of one registry; the oldest goes. */
const tokensMax = 256;
/** A token is not used any more so shortly before its end: the request has to arrive, too. */
const expiryMarginMs = 5_000;

type Token = { text: string; expiresAt: number };
type From = { from: URL; signal?: AbortSignal };

export class Authorization {
  readonly credentials: Credentials;
  #transport: Transport;
  #userAgent: string;
  #basic = false;
  /** The registry's last Bearer challenge: the next scope needs no refusal first. */
  #bearer: { challenge: Challenge; from: URL } | undefined;
  #tokens = new Map<string, Promise<Token>>();

  constructor(credentials: Credentials, parts: { transport: Transport; userAgent: string }) {
    this.credentials = { ...credentials };
    this.#transport = parts.transport;
    this.#userAgent = parts.userAgent;
  }

  /** The header for a request of these scopes, if anything is known to send. */
  async header(scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
    const { registryToken } = this.credentials;
    if (registryToken) return `Bearer ${registryToken}`;
    if (this.#basic) return basicHeader(this.credentials);
    const key = keyOf(scopes);
    const known = await this.#known(key, signal);
    if (known !== undefined) return `Bearer ${known}`;
    if (this.#bearer === undefined || scopes.length === 0) return undefined;
    const { challenge, from } = this.#bearer;
    // Should the token service not like it, the registry's own challenge will say more.
    const fetched = this.#fetch(
      key,
      { ...challenge, parameters: withoutScope(challenge) },
      scopes,
      {
        from,
        ...(signal ? { signal } : {}),
      },
    );
    return fetched.then(
      ({ text }) => `Bearer ${text}`,
      (error) => {
        if (signal?.aborted) throw error;
        return undefined;
      },
    );
  }

  async #known(key: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    const fetched = this.#tokens.get(key)?.catch(() => undefined);
    const token = await (fetched && signal ? unlessAborted(fetched, signal) : fetched);
    if (token === undefined) return undefined;
    if (token.expiresAt > Date.now()) return token.text;
    this.#tokens.delete(key);
    return undefined;
  }

  /** Answers a 401. Returns false when there is nothing (more) that could be tried; throws when
   * the token service refuses. `stale` is the header that was refused. */
  async answer(
    challengeHeader: string,
    scopes: readonly string[],
    { from, stale, signal }: From & { stale?: string },
  ): Promise<boolean> {
    const challenges = parseChallenges(challengeHeader);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer?.parameters["realm"]) {
      if (this.credentials.registryToken) return false;
      this.#bearer = { challenge: bearer, from };
      const key = keyOf(scopes);
      const known = await this.#known(key, signal);
      if (known !== undefined && stale !== `Bearer ${known}`) return true;
      this.#tokens.delete(key);
      await this.#fetch(key, bearer, scopes, { from, ...(signal ? { signal } : {}) });
      return true;
    }
    const basic = challenges.some(({ scheme }) => scheme === "basic");
    if (!basic || stale?.startsWith("Basic ")) return false;
    if (!this.credentials.username) {
      throw new GantryError("unauthorized", "no basic auth credentials", {
        detail: { code: "NO_CREDENTIALS" },
      });
    }
    this.#basic = true;
    return true;
  }

  /** One who waits may give up; the fetch goes on for the others, within its own limits. */
  #fetch(
    key: string,
    challenge: Challenge,
    scopes: readonly string[],
    { from, signal }: From,
  ): Promise<Token> {
    let token = this.#tokens.get(key);
    if (token === undefined) {
      token = this.fetchToken(challenge, scopes, { from }).then((answer) => ({
        text: answer.token,
        expiresAt: Date.now() + Math.max(0, answer.expiresInSeconds * 1000 - expiryMarginMs),
      }));
      const mine = token;
      token.catch(() => {
        if (this.#tokens.get(key) === mine) this.#tokens.delete(key);
      });
      this.#tokens.set(key, token);
      const [oldest] = this.#tokens.keys();
      if (this.#tokens.size > tokensMax && oldest !== undefined) this.#tokens.delete(oldest);
    }
    return signal ? unlessAborted(token, signal) : token;
  }

  /** Asks the token service; anonymously when there are no credentials. */
  fetchToken(
    { parameters }: Challenge,
    scopes: readonly string[],
    { from, offline = false, signal }: From & { offline?: boolean },
  ): Promise<TokenAnswer> {
    return requestToken({
      realm: parameters["realm"] ?? "",
      service: parameters["service"] ?? "",
      scopes: mergeScopes(scopes, parameters["scope"] ?? ""),
      credentials: this.credentials,
      from,
      offline,
      transport: this.#transport,
      userAgent: this.#userAgent,
      ...(signal ? { signal } : {}),
    });
  }
}

const keyOf = (scopes: readonly string[]): string => [...new Set(scopes)].sort().join(" ");

function withoutScope({ parameters }: Challenge): Record<string, string> {
  const { scope: _, ...rest } = parameters;
  return rest;
}

/** What we need and what the registry says is needed: a proxy of other registries may know the
 * repository under another name. Actions on the same resource become one scope. */
export function mergeScopes(own: readonly string[], told: string): string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of [...own, ...told.split(" ")].filter((one) => one !== "")) {
    const colon = scope.lastIndexOf(":");
    const resource = scope.slice(0, Math.max(colon, 0));
    const set = actions.get(resource) ?? new Set();
    for (const action of scope.slice(colon + 1).split(",")) set.add(action);
    actions.set(resource, set);
  }
  return [...actions].map(([resource, set]) => [resource, [...set].join(",")].join(":"));
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(signal.reason);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
