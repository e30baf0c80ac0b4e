// The token service that is built in (docker's token specification): who logs in gets a signed list
// of what he may do, cut down to what he asked for. A refresh token stands for the password; it is
// tied to the user's present password by a fingerprint, so that changing or removing the password
// ends it without any list of sessions.

import { errors, jwtVerify, SignJWT } from "jose";
import type { Logger } from "../../base/index.ts";
import type { Access } from "../contract.ts";
import { RegistryError } from "../errors.ts";
import { Htpasswd } from "./htpasswd.ts";
import type { TokenServiceOptions } from "./options.ts";
import type { Policies } from "./policies.ts";
import { Revocations } from "./revocations.ts";
import { SigningKeys } from "./signing-keys.ts";
import { clockSkewSeconds, TokenError, type TokenKeys } from "./token-verifier.ts";

const refreshType = "refresh+jwt";
const refreshSecondsDefault = 30 * 86_400;

export interface AccessToken {
  token: string;
  access: Access[];
  expiresInSeconds: number;
  issuedAt: Date;
}

export class TokenService {
  readonly issuer: string;
  readonly users: Htpasswd | undefined;
  readonly keys: SigningKeys;
  readonly #tokenSeconds: number;
  readonly #refreshSeconds: number;
  readonly #policies: Policies;
  readonly #revocations: Revocations;
  readonly #now: () => number;

  /** `now` in milliseconds. */
  constructor(
    options: TokenServiceOptions,
    {
      policies,
      logger,
      now = Date.now,
    }: { policies: Policies; logger: Logger; now?: () => number },
  ) {
    this.issuer = options.issuer ?? "gantry registry";
    this.#tokenSeconds = Math.max(60, options.tokenSeconds ?? 300);
    this.#refreshSeconds = options.refreshTokenSeconds ?? refreshSecondsDefault;
    this.#policies = policies;
    this.#now = now;
    this.users = options.htpasswd && new Htpasswd(options.htpasswd, { logger });
    this.keys = new SigningKeys({
      file: options.keyFile,
      retireSeconds: Math.max(this.#tokenSeconds, this.#refreshSeconds) + 2 * clockSkewSeconds,
      now: () => now() / 1000,
      logger,
      ...(options.algorithm && { algorithm: options.algorithm }),
      ...(options.rotateDays !== undefined && { rotateDays: options.rotateDays }),
    });
    const revokedFile = options.revokedFile ?? `${options.keyFile}.revoked`;
    this.#revocations = new Revocations(revokedFile, { logger });
  }

  async open(): Promise<void> {
    await this.keys.open();
    await this.users?.check();
    await this.#revocations.open();
  }

  /** The trusted keys, for a TokenVerifier. */
  get trusted(): TokenKeys {
    return {
      algorithms: ["ES256", "RS256"],
      find: async (header) => {
        const key = header.kid === undefined ? undefined : await this.keys.find(header.kid);
        if (key?.alg !== header.alg) throw new TokenError("its key is not trusted", {});
        return key.public;
      },
    };
  }

  /** Whether a token for all of `wanted` may be had. */
  permits(user: string, wanted: readonly Access[]): boolean {
    return wanted.every(
      (entry) => this.#policies.permitted(user, entry).length === entry.actions.length,
    );
  }

  /** A token for what of `wanted` the user ("" is anonymous) may do. */
  async issue(user: string, wanted: readonly Access[], audience: string): Promise<AccessToken> {
    const access = wanted
      .map((entry) => ({ ...entry, actions: this.#policies.permitted(user, entry) }))
      .filter(({ actions }) => actions.length > 0);
    const issuedAt = new Date(this.#now());
    const token = await this.#sign(
      "JWT",
      { access },
      { user, audience, seconds: this.#tokenSeconds },
    );
    return { token, access, expiresInSeconds: this.#tokenSeconds, issuedAt };
  }

  /** A token that stands for the password; undefined when none are given. */
  async issueRefresh(user: string, audience: string): Promise<string | undefined> {
    const fingerprint = await this.users?.fingerprint(user);
    if (fingerprint === undefined || this.#refreshSeconds === 0) return undefined;
    return this.#sign(
      refreshType,
      { pwd: fingerprint },
      { user, audience: refreshAudience(audience), seconds: this.#refreshSeconds },
    );
  }

  /** Whose refresh token it is. Throws UNAUTHORIZED. */
  async refreshUser(token: string, audience: string): Promise<string> {
    const { user, id, fingerprint } = await this.#readRefresh(token, audience);
    const present = await this.users?.fingerprint(user);
    if (present === undefined || present !== fingerprint || (await this.#revocations.has(id))) {
      throw refused();
    }
    return user;
  }

  /** Ends a refresh token before its time. What is no good token is already at its end. */
  async revoke(token: string, audience: string): Promise<void> {
    const found = await this.#readRefresh(token, audience).catch((error: unknown) => {
      if (error instanceof RegistryError) return undefined;
      throw error;
    });
    if (found) await this.#revocations.add(found.id, found.expiresAt, this.#now() / 1000);
  }

  async #sign(
    typ: string,
    claims: Record<string, unknown>,
    { user, audience, seconds }: { user: string; audience: string; seconds: number },
  ): Promise<string> {
    const key = await this.keys.signing();
    const now = Math.floor(this.#now() / 1000);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ })
      .setIssuer(this.issuer)
      .setSubject(user)
      .setAudience(audience)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + seconds)
      .setJti(crypto.randomUUID())
      .sign(key.secret);
  }

  async #readRefresh(token: string, audience: string) {
    try {
      const { payload } = await jwtVerify(
        token,
        async ({ alg, kid, typ }) => {
          if (typ !== refreshType) throw new TokenError("it is no refresh token", {});
          return this.trusted.find({ alg: alg ?? "", ...(kid !== undefined && { kid }) });
        },
        {
          algorithms: ["ES256", "RS256"],
          issuer: this.issuer,
          audience: refreshAudience(audience),
          currentDate: new Date(this.#now()),
          clockTolerance: clockSkewSeconds,
          requiredClaims: ["exp", "jti", "sub", "pwd"],
        },
      );
      return {
        user: payload.sub!,
        id: payload.jti!,
        fingerprint: payload["pwd"],
        expiresAt: payload.exp!,
      };
    } catch (error) {
      if (error instanceof TokenError || error instanceof errors.JOSEError) throw refused(error);
      throw error;
    }
  }
}

/** An audience of its own, so that no verifier of access tokens takes one. */
function refreshAudience(audience: string): string {
  return `${audience} (refresh)`;
}

function refused(cause?: unknown): RegistryError {
  return new RegistryError("UNAUTHORIZED", "the refresh token is not valid: log in again", {
    cause,
  });
}
