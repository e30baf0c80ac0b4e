// The registry's page for people, as routes beside /v2/: its files, what it wants to know of the
// server, what a caller may do in a repository, and image configurations (small blobs that must
// not become a redirect to the object store, where the page may not go). All policy is the
// gatekeeper's. The Content-Security-Policy allows the page's own files and requests only, and no
// way to turn text into markup.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Access, Action, ExtraRoute, Gatekeeper, RegistryContent } from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { parseDigest, parseName } from "./names.ts";
import { asset, assetPaths } from "./web-assets.ts";

export interface WebOptions {
  /** Shown at the top and in the browser's tab ["Registry"]. */
  title?: string;
}

export interface WebContext {
  content: RegistryContent;
  gatekeeper: Gatekeeper;
  /** Nothing can be pushed or deleted. */
  readOnly: boolean;
  /** Manifests and tags can be deleted by those who may. */
  canDelete: boolean;
  /** Somebody may log in. */
  hasUsers: boolean;
  /** Address of an external token service, which the page may ask for tokens. */
  tokenRealm?: string;
}

const blobBytesMax = 4 * 1024 * 1024;
const ACTIONS: readonly Action[] = ["pull", "push", "delete"];

export function createWebRoutes(options: WebOptions, context: WebContext): ExtraRoute[] {
  const policy = contentSecurityPolicy(context.tokenRealm);
  const secured = (route: ExtraRoute): ExtraRoute => ({
    path: route.path,
    async handle(request, response, facts) {
      setSecurityHeaders(response, policy);
      if (request.method !== "GET" && request.method !== "HEAD") {
        response.setHeader("Allow", "GET, HEAD");
        throw new RegistryError("UNSUPPORTED", "the page is only read");
      }
      await route.handle(request, response, facts);
    },
  });
  const files = assetPaths.map((path) => ({
    path,
    handle: (request: IncomingMessage, response: ServerResponse) =>
      sendAsset(path, request, response),
  }));
  const { title = "Registry" } = options;
  const { readOnly, canDelete, hasUsers } = context;
  const config: ExtraRoute = {
    path: "/ui/config.json",
    async handle(request, response) {
      sendJson(request, response, { title, readOnly, hasUsers, canDelete: canDelete && !readOnly });
    },
  };
  return [...files, config, accessRoute(context), blobRoute(context)].map(secured);
}

/** `GET /ui/access?name=REPOSITORY`: what the caller may do there. */
function accessRoute({ gatekeeper }: WebContext): ExtraRoute {
  return {
    path: "/ui/access",
    async handle(request, response, facts) {
      const name = parseName(facts.url.searchParams.get("name") ?? "");
      const access = (action: Action): Access => ({ type: "repository", name, actions: [action] });
      const grant = await gatekeeper.admit(facts, [access("pull")]);
      const actions = ACTIONS.filter((action) => grant.allows(access(action)));
      sendJson(request, response, { actions });
    },
  };
}

/** `GET /ui/blob?name=REPOSITORY&digest=DIGEST`: a small blob, never as a redirect. */
function blobRoute({ gatekeeper, content }: WebContext): ExtraRoute {
  return {
    path: "/ui/blob",
    async handle(request, response, facts) {
      const name = parseName(facts.url.searchParams.get("name") ?? "");
      const digest = parseDigest(facts.url.searchParams.get("digest") ?? "");
      await gatekeeper.admit(facts, [{ type: "repository", name, actions: ["pull"] }]);
      const { size } = await content.blob(name, digest);
      if (size > blobBytesMax) {
        throw new RegistryError("SIZE_INVALID", "the blob is too large to be shown", {
          status: 413,
        });
      }
      const chunks: Buffer[] = [];
      for await (const chunk of await content.openBlob(name, digest)) chunks.push(chunk as Buffer);
      send(request, response, "application/json", Buffer.concat(chunks));
    },
  };
}

async function sendAsset(
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { type, bytes, gzip, etag } = await asset(path);
  response.setHeader("ETag", etag);
  response.setHeader("Cache-Control", "no-cache"); // asked again each time, answered 304
  response.setHeader("Vary", "Accept-Encoding");
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304).end();
    return;
  }
  const zipped = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
  if (zipped) response.setHeader("Content-Encoding", "gzip");
  send(request, response, type, zipped ? gzip : bytes);
}

function sendJson(request: IncomingMessage, response: ServerResponse, value: unknown): void {
  response.setHeader("Cache-Control", "no-store");
  send(request, response, "application/json", Buffer.from(JSON.stringify(value)));
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  type: string,
  bytes: Buffer,
): void {
  response.writeHead(200, { "Content-Type": type, "Content-Length": bytes.length });
  response.end(request.method === "HEAD" ? undefined : bytes);
}

function setSecurityHeaders(response: ServerResponse, policy: string): void {
  response.setHeader("Content-Security-Policy", policy);
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("X-Frame-Options", "DENY");
  response.setHeader("Referrer-Policy", "no-referrer");
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
}

/** Exported for tests. */
export function contentSecurityPolicy(tokenRealm?: string): string {
  const realm = tokenRealm === undefined ? "" : ` ${new URL(tokenRealm).origin}`;
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self'${realm}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}
