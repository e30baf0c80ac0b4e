// A registry with access control for tests: users ann, bob and eve (bcrypt of the lowest cost),
// rules that tell them apart, on the loopback, in a folder of its own.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashPassword } from "../../src/registry/access/bcrypt.ts";
import {
  type AccessOptions,
  createAccess,
  createRegistry,
  type Observer,
  openFileStore,
  type RegistryAccess,
  type RegistryOptions,
  type RegistryServer,
} from "../../src/registry/index.ts";

export const passwords = { ann: "correct horse", bob: "battery", eve: "staple" } as const;

/** ann may do everything beneath team/, bob reads there, all read public/, nobody else anything. */
export const policies: AccessOptions["policies"] = [
  { repositories: ["public/**"], anonymous: true, actions: ["pull"] },
  { repositories: ["team/**", "public/**"], users: ["ann"], actions: ["pull", "push", "delete"] },
  { repositories: ["team/**"], users: ["bob"], actions: ["pull"] },
  { users: ["root"], actions: ["*"] },
];

export interface AccessRegistry {
  host: string;
  port: number;
  folder: string;
  access: RegistryAccess;
  server: RegistryServer;
  writeUsers(users: Record<string, string>): Promise<void>;
  close(): Promise<void>;
}

export async function startAccessRegistry(
  type: "htpasswd" | "token",
  more: {
    access?: Partial<AccessOptions>;
    token?: object;
    observers?: Observer[];
    registry?: Partial<RegistryOptions>;
    now?: () => number;
  } = {},
): Promise<AccessRegistry> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-access-"));
  const file = join(folder, "htpasswd");
  const writeUsers = async (users: Record<string, string>) => {
    const lines = Object.entries(users).map(
      async ([name, password]) => `${name}:${await hashPassword(password, 4)}`,
    );
    await writeFile(file, `${(await Promise.all(lines)).join("\n")}\n`);
  };
  await writeUsers({ ...passwords, root: "toor" });
  const authentication: NonNullable<AccessOptions["authentication"]> =
    type === "htpasswd"
      ? { type, file, cacheMs: 1000 }
      : { type, keyFile: join(folder, "keys.json"), htpasswd: { file }, ...more.token };
  const access = await createAccess(
    { authentication, policies: policies!, ...more.access },
    more.now ? { now: more.now } : {},
  );
  const server = createRegistry({
    store: await openFileStore(join(folder, "store")),
    gatekeeper: access.gatekeeper,
    extraRoutes: access.routes,
    proxies: access.proxies,
    observers: more.observers ?? [],
    ...more.registry,
  });
  const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as AddressInfo;
  return {
    ...{ host: `127.0.0.1:${port}`, port, folder, access, server, writeUsers },
    close: async () => {
      await server.close({ deadlineMs: 100 });
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks where it likes
  json: any;
}

/** One request; an object as body is sent as a form. */
export function call(
  registry: { port: number },
  path: string,
  options: {
    method?: string;
    headers?: Record<string, string>;
    user?: keyof typeof passwords | "root" | [string, string];
    token?: string;
    body?: string | Buffer | Record<string, string>;
  } = {},
): Promise<Answer> {
  const headers = { ...options.headers };
  const { user, token } = options;
  if (typeof user === "string") {
    headers["authorization"] = basic(user, user === "root" ? "toor" : passwords[user]);
  } else if (user) headers["authorization"] = basic(...user);
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  let { body } = options;
  if (typeof body === "object" && !Buffer.isBuffer(body)) {
    body = new URLSearchParams(body).toString();
    headers["content-type"] ??= "application/x-www-form-urlencoded";
  }
  const method = options.method ?? "GET";
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: "127.0.0.1", port: registry.port, path, method, headers, agent: false },
      async (response) => {
        try {
          const chunks: Buffer[] = [];
          for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
          const text = Buffer.concat(chunks).toString();
          const isJson = response.headers["content-type"]?.includes("json") ?? false;
          const json = isJson && text !== "" ? JSON.parse(text) : undefined;
          resolve({ status: response.statusCode!, headers: response.headers, text, json });
        } catch (error) {
          reject(error);
        }
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

export function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

/** Pushes an image of one small layer; resolves with the manifest's digest. */
export async function pushImage(
  registry: { port: number },
  name: string,
  tag: string,
  as: { user?: keyof typeof passwords | "root"; token?: string },
  content = "layer",
): Promise<string> {
  const config = await pushBlob(registry, name, Buffer.from("{}"), as);
  const layer = await pushBlob(registry, name, Buffer.from(content), as);
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  };
  const answer = await call(registry, `/v2/${name}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": manifest.mediaType },
    body: Buffer.from(JSON.stringify(manifest)),
    ...as,
  });
  if (answer.status !== 201)
    throw new Error(`Push of the manifest: ${answer.status} ${answer.text}`);
  return String(answer.headers["docker-content-digest"]);
}

async function pushBlob(
  registry: { port: number },
  name: string,
  bytes: Buffer,
  as: { user?: keyof typeof passwords | "root"; token?: string },
): Promise<{ digest: string; size: number }> {
  const { createHash } = await import("node:crypto");
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const answer = await call(registry, `/v2/${name}/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: bytes,
    ...as,
  });
  if (answer.status !== 201) throw new Error(`Push of a blob: ${answer.status} ${answer.text}`);
  return { digest, size: bytes.length };
}
