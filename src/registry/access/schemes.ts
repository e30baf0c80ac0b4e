// How callers prove who they are, and how each scheme refuses:
//   Basic or certificate: nobody → 401 UNAUTHORIZED with a challenge; somebody → 403 DENIED.
//   Bearer: 401 with a challenge that names the scope, since a better token may exist; only when
//   the built-in service would never give it to this user: 403 DENIED.

import type { Access, RequestFacts } from "../contract.ts";
import { RegistryError } from "../errors.ts";
import type { Credentials } from "./credentials.ts";
import type { Htpasswd } from "./htpasswd.ts";
import { passwordIsRight } from "./login.ts";
import type { RateLimits } from "./rate-limits.ts";
import { challenge, formatScopes } from "./scope.ts";
import { TokenError, type TokenVerifier, type VerifiedToken } from "./token-verifier.ts";

/** Who somebody is, and what he may do at most (undefined: what the rules say). */
export interface Identity {
  subject: string;
  token?: VerifiedToken;
}

export interface Scheme {
  /** Throws RegistryError for credentials that are wrong. */
  identify(
    credentials: Credentials,
    request: RequestFacts,
    wanted: readonly Access[],
  ): Promise<Identity>;
  /** The refusal of somebody who may not (all of) `wanted`. */
  refuse(identity: Identity, request: RequestFacts, wanted: readonly Access[]): RegistryError;
  /** Whether a caller without credentials may know that this is a registry (`GET /v2/`). */
  readonly opensToAnybody: boolean;
  /** What the token allows stands, whatever our rules say: the service has rules of its own. */
  readonly trustsTokens?: boolean;
}

/** No authentication at all: credentials are not looked at. */
export class Nobody implements Scheme {
  readonly opensToAnybody = true;
  async identify(): Promise<Identity> {
    return { subject: "" };
  }
  refuse({ subject }: Identity, _request: RequestFacts, wanted: readonly Access[]): RegistryError {
    return denied(subject, wanted);
  }
}

export class CertificateOnly implements Scheme {
  readonly opensToAnybody = true;
  async identify(credentials: Credentials): Promise<Identity> {
    if (credentials.type === "none") return { subject: "" };
    throw new RegistryError("UNAUTHORIZED", "this registry knows its users by certificate", {
      headers: { "WWW-Authenticate": challenge("Mutual", { realm: "Registry" }) },
    });
  }
  refuse({ subject }: Identity, _request: RequestFacts, wanted: readonly Access[]): RegistryError {
    if (subject !== "") return denied(subject, wanted);
    return new RegistryError("UNAUTHORIZED", "a client certificate is required", {
      headers: { "WWW-Authenticate": challenge("Mutual", { realm: "Registry" }) },
    });
  }
}

export class BasicScheme implements Scheme {
  readonly opensToAnybody = false;
  readonly #users: Htpasswd;
  readonly #limits: RateLimits;

  constructor(users: Htpasswd, limits: RateLimits) {
    this.#users = users;
    this.#limits = limits;
  }

  async identify(credentials: Credentials, { remoteAddress }: RequestFacts): Promise<Identity> {
    if (credentials.type === "none") return { subject: "" };
    if (
      credentials.type === "basic" &&
      (await passwordIsRight(credentials, {
        users: this.#users,
        limits: this.#limits,
        remoteAddress,
      }))
    ) {
      return { subject: credentials.username };
    }
    const subject = credentials.type === "basic" ? credentials.username : "";
    throw this.#unauthorized("incorrect username or password", subject);
  }

  refuse({ subject }: Identity, _request: RequestFacts, wanted: readonly Access[]): RegistryError {
    if (subject !== "") return denied(subject, wanted);
    return this.#unauthorized("authentication required");
  }

  #unauthorized(message: string, subject = ""): RegistryError {
    return new RegistryError("UNAUTHORIZED", message, {
      subject,
      headers: { "WWW-Authenticate": challenge("Basic", { realm: this.#users.realm }) },
    });
  }
}

export interface BearerOptions {
  verifier: TokenVerifier;
  realm(request: RequestFacts): string;
  audience(request: RequestFacts): string;
  /** Whether a token for this may be had by the user; undefined when nobody here knows. */
  obtainable?(subject: string, wanted: readonly Access[]): boolean;
  trustsTokens: boolean;
  /** Whose passwords are taken in place of a token too (curl -u). */
  users?: { users: Htpasswd; limits: RateLimits } | undefined;
}

export class BearerScheme implements Scheme {
  readonly opensToAnybody = false;
  readonly trustsTokens: boolean;
  readonly #options: BearerOptions;

  constructor(options: BearerOptions) {
    this.#options = options;
    this.trustsTokens = options.trustsTokens;
  }

  audience(request: RequestFacts): string {
    return this.#options.audience(request);
  }

  async identify(
    credentials: Credentials,
    request: RequestFacts,
    wanted: readonly Access[],
  ): Promise<Identity> {
    if (credentials.type === "none") return { subject: "" };
    const { users } = this.#options;
    if (credentials.type === "basic" && users) {
      const { remoteAddress } = request;
      if (await passwordIsRight(credentials, { ...users, remoteAddress })) {
        return { subject: credentials.username };
      }
      const subject = credentials.username;
      throw this.#unauthorized("incorrect username or password", request, wanted, { subject });
    }
    if (credentials.type !== "bearer") {
      throw this.#unauthorized("a token is required", request, wanted);
    }
    try {
      const token = await this.#options.verifier.verify(credentials.token, this.audience(request));
      return { subject: token.subject, token };
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      const message = error.expired ? "the token has expired" : "the token is not valid";
      throw this.#unauthorized(message, request, wanted, { error: "invalid_token" });
    }
  }

  refuse(identity: Identity, request: RequestFacts, wanted: readonly Access[]): RegistryError {
    const { obtainable } = this.#options;
    if (!identity.token && identity.subject === "") {
      return this.#unauthorized("authentication required", request, wanted);
    }
    if (identity.subject !== "" && obtainable && !obtainable(identity.subject, wanted)) {
      return denied(identity.subject, wanted);
    }
    return this.#unauthorized("the token does not allow this", request, wanted, {
      error: "insufficient_scope",
      subject: identity.subject,
    });
  }

  #unauthorized(
    message: string,
    request: RequestFacts,
    wanted: readonly Access[],
    { error, subject = "" }: { error?: string; subject?: string } = {},
  ): RegistryError {
    const parameters = {
      realm: this.#options.realm(request),
      service: this.audience(request),
      scope: formatScopes(wanted),
      error,
    };
    return new RegistryError("UNAUTHORIZED", message, {
      subject,
      headers: { "WWW-Authenticate": challenge("Bearer", parameters) },
      detail: wanted.map(({ type, name, actions }) => ({ type, name, actions })),
    });
  }
}

function denied(subject: string, wanted: readonly Access[]): RegistryError {
  const detail = wanted.map(({ type, name, actions }) => ({ type, name, actions }));
  const message = "requested access to the resource is denied";
  return new RegistryError("DENIED", message, { subject, detail });
}
