// Who is allowed what, for each request: credentials → a user → what the rules let him do. Wrong
// credentials are always refused, even where an anonymous caller would be let in.

import { type Logger, silentLogger } from "../../base/index.ts";
import type { Access, ExtraRoute, Gatekeeper, Grant, RequestFacts } from "../contract.ts";
import { RegistryError } from "../errors.ts";
import { TrustedProxies } from "./client-address.ts";
import { parseAuthorization } from "./credentials.ts";
import { Htpasswd } from "./htpasswd.ts";
import type { AccessOptions, ExternalTokenOptions, TokenServiceOptions } from "./options.ts";
import { createPolicies, type Policies } from "./policies.ts";
import { RateLimits } from "./rate-limits.ts";
import {
  BasicScheme,
  BearerScheme,
  CertificateOnly,
  type Identity,
  Nobody,
  type Scheme,
} from "./schemes.ts";
import { covers } from "./scope.ts";
import { tokenRoutes } from "./token-routes.ts";
import { TokenService } from "./token-service.ts";
import { TokenVerifier } from "./token-verifier.ts";
import { TrustedKeys } from "./trusted-keys.ts";

export interface RegistryAccess {
  gatekeeper: Gatekeeper;
  /** The token service's addresses, where there is one. */
  routes: ExtraRoute[];
  proxies: TrustedProxies;
  limits: RateLimits;
  /** The built-in token service, for programs that make or revoke tokens themselves. */
  tokens?: TokenService;
}

export interface AccessContext {
  logger?: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** Reads every file that the options name. Throws GantryError invalid or unavailable. */
export async function createAccess(
  options: AccessOptions,
  { logger = silentLogger, now = Date.now }: AccessContext = {},
): Promise<RegistryAccess> {
  const policies = createPolicies(options);
  const limits = new RateLimits(options.rateLimits);
  const proxies = new TrustedProxies(options.trustedProxies ?? []);
  const shared = { limits, proxies };
  const context: Context = { policies, limits, logger, now };
  const chosen = options.authentication;
  switch (chosen?.type) {
    case undefined:
      return { ...shared, routes: [], gatekeeper: new Doorman(context, new Nobody()) };
    case "certificate":
      return { ...shared, routes: [], gatekeeper: new Doorman(context, new CertificateOnly()) };
    case "htpasswd": {
      const users = new Htpasswd(chosen, { logger });
      await users.check();
      return {
        ...shared,
        routes: [],
        gatekeeper: new Doorman(context, new BasicScheme(users, limits)),
      };
    }
    case "token": {
      const service = new TokenService(chosen, { policies, logger, now });
      await service.open();
      const scheme = builtInTokens(chosen, service, context);
      const routes = tokenRoutes({ service, limits, audience: (facts) => scheme.audience(facts) });
      return { ...shared, routes, tokens: service, gatekeeper: new Doorman(context, scheme) };
    }
    case "external-token": {
      const scheme = await externalTokens(chosen, options, context);
      return { ...shared, routes: [], gatekeeper: new Doorman(context, scheme) };
    }
  }
}

interface Context {
  policies: Policies;
  limits: RateLimits;
  logger: Logger;
  now: () => number;
}

class Doorman implements Gatekeeper {
  readonly #context: Context;
  readonly #scheme: Scheme;

  constructor(context: Context, scheme: Scheme) {
    this.#context = context;
    this.#scheme = scheme;
  }

  async admit(request: RequestFacts, wanted: readonly Access[]): Promise<Grant> {
    const { limits } = this.#context;
    const scheme = this.#scheme;
    limits.address(request.remoteAddress);
    const identity = await this.#identify(request, wanted);
    if (identity.subject !== "") limits.user(identity.subject);
    const known = identity.subject !== "" || identity.token !== undefined;
    if (wanted.length === 0 && !known && !scheme.opensToAnybody) {
      throw scheme.refuse(identity, request, wanted);
    }
    const allows = (access: Access) => this.#allows(identity, access);
    if (!wanted.every(allows)) throw scheme.refuse(identity, request, wanted);
    return { subject: identity.subject, allows };
  }

  async #identify(request: RequestFacts, wanted: readonly Access[]): Promise<Identity> {
    const credentials = parseAuthorization(request.authorization);
    if (credentials.type === "none" && request.clientCertificate) {
      return { subject: request.clientCertificate };
    }
    if (credentials.type === "malformed") {
      const refusal = this.#scheme.refuse({ subject: "" }, request, wanted);
      throw new RegistryError(
        "UNAUTHORIZED",
        `the Authorization header is malformed: ${credentials.reason}`,
        { headers: refusal.headers },
      );
    }
    return this.#scheme.identify(credentials, request, wanted);
  }

  #allows({ subject, token }: Identity, access: Access): boolean {
    if (token && !covers(token.access, access)) return false;
    if (token && this.#scheme.trustsTokens) return true;
    const permitted = this.#context.policies.permitted(subject, access);
    return permitted.length === access.actions.length;
  }
}

function builtInTokens(
  options: TokenServiceOptions,
  service: TokenService,
  { limits, now }: Context,
): BearerScheme {
  return new BearerScheme({
    verifier: new TokenVerifier({ keys: service.trusted, issuer: service.issuer, now }),
    realm: ({ url }) => options.realm ?? new URL("/token", url).href,
    audience: ({ url }) => options.service ?? url.host,
    trustsTokens: false, // a rule that was taken back holds at once
    obtainable: (subject, wanted) => service.permits(subject, wanted),
    users: service.users && { users: service.users, limits },
  });
}

async function externalTokens(
  options: ExternalTokenOptions,
  { policies }: AccessOptions,
  { logger, now }: Context,
): Promise<BearerScheme> {
  const keys = new TrustedKeys(options, { logger, now });
  await keys.check();
  return new BearerScheme({
    verifier: new TokenVerifier({ keys, issuer: options.issuer, now }),
    realm: () => options.realm,
    audience: () => options.service,
    trustsTokens: policies === undefined, // with rules of ours, both must allow it
  });
}
