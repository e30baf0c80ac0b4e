// GET and POST /token (docker's token and oauth2 specifications), POST /token/revoke (RFC 7009) and
// GET /token/keys, the public keys as a JWKS. Nothing here decides anything: it parses and renders.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { ExtraRoute, RequestFacts } from "../contract.ts";
import { RegistryError } from "../errors.ts";
import { parseAuthorization } from "./credentials.ts";
import { passwordIsRight } from "./login.ts";
import type { RateLimits } from "./rate-limits.ts";
import { challenge, formatScopes, parseScopes } from "./scope.ts";
import type { TokenService } from "./token-service.ts";

const formBytesMax = 64 * 1024;

export interface TokenRoutesContext {
  service: TokenService;
  limits: RateLimits;
  /** The service's name for this request. */
  audience(facts: RequestFacts): string;
}

export function tokenRoutes(context: TokenRoutesContext): ExtraRoute[] {
  const route = (path: string, handlers: Record<string, Handler>): ExtraRoute => ({
    path,
    handle: async (request, response, facts, tell) => {
      const asked: Asked = { request, facts, subject: "" };
      try {
        context.limits.address(facts.remoteAddress);
        const handler = handlers[request.method ?? ""];
        if (!handler) {
          throw new RegistryError("UNSUPPORTED", "the method is not known here", {
            headers: { Allow: Object.keys(handlers).join(", ") },
          });
        }
        const body = await handler(context, asked);
        tell?.({ subject: asked.subject });
        sendJson(response, 200, body);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        tell?.({ subject: asked.subject, errorCode: error.code });
        sendError(request, response, error);
      }
    },
  });
  return [
    route("/token", { GET: getToken, POST: postToken }),
    route("/token/revoke", { POST: revoke }),
    route("/token/keys", { GET: ({ service }) => service.keys.publicKeys() }),
  ];
}

interface Asked {
  request: IncomingMessage;
  facts: RequestFacts;
  /** Who it is, or says he is. */
  subject: string;
}
type Handler = (context: TokenRoutesContext, asked: Asked) => Promise<unknown>;

const getToken: Handler = async (context, asked) => {
  const { facts } = asked;
  const query = facts.url.searchParams;
  const credentials = parseAuthorization(facts.authorization);
  let user = "";
  if (credentials.type === "basic") {
    user = asked.subject = credentials.username;
    await checkPassword(context, facts, user, credentials.password);
  } else if (credentials.type !== "none") throw wrongPassword();
  const offline = query.get("offline_token") === "true";
  return grant(context, facts, { user, scopes: query.getAll("scope"), offline });
};

const postToken: Handler = async (context, asked) => {
  const { facts } = asked;
  const form = await readForm(asked.request);
  const scopes = form.getAll("scope");
  switch (form.get("grant_type")) {
    case "password": {
      const user = (asked.subject = form.get("username") ?? "");
      await checkPassword(context, facts, user, form.get("password") ?? "");
      return grant(context, facts, {
        user,
        scopes,
        offline: form.get("access_type") === "offline",
      });
    }
    case "refresh_token": {
      const token = form.get("refresh_token") ?? "";
      const user = await guarded(context, facts, () =>
        context.service.refreshUser(token, context.audience(facts)),
      );
      asked.subject = user;
      return { ...(await grant(context, facts, { user, scopes })), refresh_token: token };
    }
    default:
      throw new RegistryError("UNSUPPORTED", "grant_type is neither password nor refresh_token", {
        status: 400,
        detail: { error: "unsupported_grant_type" },
      });
  }
};

const revoke: Handler = async (context, { facts, request }) => {
  const form = await readForm(request);
  await context.service.revoke(form.get("token") ?? "", context.audience(facts));
  return {};
};

async function grant(
  context: TokenRoutesContext,
  facts: RequestFacts,
  { user, scopes, offline = false }: { user: string; scopes: string[]; offline?: boolean },
): Promise<Record<string, unknown>> {
  if (user !== "") context.limits.user(user);
  const { service } = context;
  const audience = context.audience(facts);
  const issued = await service.issue(user, parseScopes(scopes), audience);
  const refresh = offline && user !== "" ? await service.issueRefresh(user, audience) : undefined;
  return {
    token: issued.token,
    access_token: issued.token,
    scope: formatScopes(issued.access),
    expires_in: issued.expiresInSeconds,
    issued_at: issued.issuedAt.toISOString(),
    ...(refresh !== undefined && { refresh_token: refresh }),
  };
}

async function checkPassword(
  { service, limits }: TokenRoutesContext,
  { remoteAddress }: RequestFacts,
  username: string,
  password: string,
): Promise<void> {
  const { users } = service;
  const credentials = { username, password };
  if (users && (await passwordIsRight(credentials, { users, limits, remoteAddress }))) return;
  throw wrongPassword();
}

async function guarded<T>(
  { limits }: TokenRoutesContext,
  { remoteAddress }: RequestFacts,
  check: () => Promise<T>,
): Promise<T> {
  limits.mayGuess(remoteAddress);
  try {
    return await check();
  } catch (error) {
    limits.guessedWrong(remoteAddress);
    throw error;
  }
}

function wrongPassword(): RegistryError {
  return new RegistryError("UNAUTHORIZED", "incorrect username or password", {
    headers: { "WWW-Authenticate": challenge("Basic", { realm: "Registry" }) },
  });
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
    throw new RegistryError("UNSUPPORTED", "the body is not a form", { status: 415 });
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > formBytesMax) {
      throw new RegistryError("SIZE_INVALID", "the form is too large", { status: 413 });
    }
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString("utf8"));
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": bytes.length,
    "Cache-Control": "no-store",
    Pragma: "no-cache",
  });
  response.end(bytes);
}

/** docker's client reads `errors`, OAuth clients read `error`. */
function sendError(request: IncomingMessage, response: ServerResponse, error: RegistryError): void {
  const oauth =
    (error.detail as { error?: string } | undefined)?.error ??
    (error.status === 401 ? "invalid_grant" : "invalid_request");
  for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
  if (!request.complete) response.setHeader("Connection", "close"); // a body that nobody read
  sendJson(response, error.status, {
    errors: [{ code: error.code, message: error.message, detail: error.detail ?? {} }],
    ...(request.method === "POST" && { error: oauth, error_description: error.message }),
  });
}
