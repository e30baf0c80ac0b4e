// Access tokens, verified: signature by a key that we trust beforehand, then issuer, audience and
// times (60 s of clock skew, as docker's registry). What the header says about keys is only a hint
// for the search. The signature of a token is checked once; later requests with it are looked up.

import { createHash } from "node:crypto";
import { errors, type JWTHeaderParameters, type JWTPayload, jwtVerify, type KeyObject } from "jose";
import { kindOf } from "../../base/index.ts";
import type { Access, Action } from "../contract.ts";

export const clockSkewSeconds = 60;
const rememberedMax = 10_000;
const rememberedMs = 60_000;

export interface VerifiedToken {
  subject: string;
  access: Access[];
}

export interface TokenKeys {
  /** The key for a header, of those that are trusted; throws what it likes when there is none. */
  find(header: JWTHeaderParameters): Promise<CryptoKey | KeyObject>;
  algorithms: readonly string[];
}

/** A token that is not good; `expired` when that is all that is wrong with it. */
export class TokenError extends Error {
  readonly expired: boolean;
  constructor(message: string, { expired = false, cause }: { expired?: boolean; cause?: unknown }) {
    super(message, { cause });
    this.name = "TokenError";
    this.expired = expired;
  }
}

export class TokenVerifier {
  readonly #keys: TokenKeys;
  readonly #issuer: string;
  readonly #now: () => number;
  readonly #good = new Map<string, { token: VerifiedToken; until: number }>();

  /** `now` in milliseconds. */
  constructor(options: { keys: TokenKeys; issuer: string; now?: () => number }) {
    this.#keys = options.keys;
    this.#issuer = options.issuer;
    this.#now = options.now ?? Date.now;
  }

  /** Throws TokenError. */
  async verify(token: string, audience: string): Promise<VerifiedToken> {
    const now = this.#now();
    const key = createHash("sha256").update(audience).update("\0").update(token).digest("base64");
    const known = this.#good.get(key);
    if (known && known.until > now) return known.token;
    this.#good.delete(key);
    const payload = await this.#check(token, audience, now);
    const verified = { subject: payload.sub ?? "", access: parseAccess(payload["access"]) };
    if (this.#good.size >= rememberedMax) {
      for (const oldest of this.#good.keys()) {
        this.#good.delete(oldest);
        break;
      }
    }
    const until = Math.min(now + rememberedMs, (payload.exp! + clockSkewSeconds) * 1000);
    this.#good.set(key, { token: verified, until });
    return verified;
  }

  async #check(token: string, audience: string, now: number): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(
        token,
        async (header) => {
          // A refresh token is for the token service alone.
          if (header.typ !== undefined && !/^(at\+)?jwt$/i.test(header.typ)) {
            throw new TokenError("it is not an access token", {});
          }
          return this.#keys.find(header as JWTHeaderParameters);
        },
        {
          algorithms: [...this.#keys.algorithms],
          issuer: this.#issuer,
          audience,
          clockTolerance: clockSkewSeconds,
          currentDate: new Date(now),
          requiredClaims: ["exp"],
        },
      );
      return payload;
    } catch (error) {
      if (error instanceof TokenError) throw error;
      // A key file that cannot be read is our trouble, not the token's.
      if (kindOf(error) === "unavailable") throw error;
      throw new TokenError("the token is not valid", {
        expired: error instanceof errors.JWTExpired,
        cause: error,
      });
    }
  }
}

/** The `access` claim; what is not as it should be grants nothing. */
function parseAccess(claim: unknown): Access[] {
  if (!Array.isArray(claim)) return [];
  return claim.slice(0, 1000).flatMap((entry: unknown): Access[] => {
    const { type, name, actions } = (entry ?? {}) as Record<string, unknown>;
    if ((type !== "repository" && type !== "registry") || typeof name !== "string") return [];
    if (!Array.isArray(actions)) return [];
    return [{ type, name, actions: actions.filter(isAction) }];
  });
}

function isAction(value: unknown): value is Action {
  return value === "pull" || value === "push" || value === "delete" || value === "*";
}
