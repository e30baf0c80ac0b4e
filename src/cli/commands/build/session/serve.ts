// The client's half of a session: what the daemon may ask this side for while a build runs. It asks
// by name for folders, secrets, agents and stores that the command line offered; nothing else of
// the caller's is in reach.

import { randomBytes } from "node:crypto";
import type { Duplex, Readable } from "node:stream";
import { create, toBinary } from "@bufbuild/protobuf";
import { GantryError } from "../../../../base/index.ts";
import {
  auth,
  content,
  filesync,
  health,
  secrets,
  ssh,
  upload,
} from "../../../../gen/buildkit/index.ts";
import { framed } from "../../../../wire/index.ts";
import { credentialsFor } from "../../../config/registry-access.ts";
import type { Output } from "../../../io.ts";
import type { Session } from "../../../session.ts";
import { LayoutFolder, readBlob, writeBlob } from "./content-store.ts";
import {
  type Handlers,
  type Metadata,
  oneMessage,
  pathOf,
  type ServedCall,
  serveCalls,
  unary,
} from "./grpc-server.ts";
import { receiveFile } from "./receive-file.ts";
import { receiveFolder } from "./receive-folder.ts";
import { readSecret } from "./secrets.ts";
import { sendFolder } from "./send-folder.ts";
import { type Agent, agentOf, forwardAgent } from "./ssh.ts";

/** Where an output goes on this side. */
export type OutputTarget = { folder: string } | { path: string } | { stdout: Output };

export interface SessionOffer {
  /** Folders by name: "context", "dockerfile", named contexts. */
  folders: ReadonlyMap<string, string>;
  /** Bytes that may be fetched once, by the last part of their address. */
  uploads: ReadonlyMap<string, Readable>;
  secrets: ReadonlyMap<string, { env?: string; path?: string }>;
  /** ssh agents by id. */
  agents: ReadonlyMap<string, Agent>;
  /** By the number of the exporter. */
  outputs: readonly (OutputTarget | undefined)[];
  /** Folders in OCI layout, by store id. */
  stores: ReadonlyMap<string, string>;
  sharedKey: string;
}

export interface OpenSession {
  id: string;
  close(): void;
  closed: Promise<void>;
}

/** Opens a session at the daemon and serves it until it is closed. */
export async function openSession(session: Session, offer: SessionOffer): Promise<OpenSession> {
  const id = randomBytes(16).toString("hex");
  const handlers = handlersOf(session, offer);
  const client = await session.client();
  const { stream } = await client.hijack("/session", {
    upgrade: "h2c",
    headers: {
      "X-Docker-Expose-Session-Uuid": id,
      "X-Docker-Expose-Session-Name": "",
      ...(offer.sharedKey ? { "X-Docker-Expose-Session-Sharedkey": offer.sharedKey } : {}),
      "X-Docker-Expose-Session-Grpc-Method": [...handlers.keys()],
    },
  });
  return { id, ...serveCalls(stream as Duplex, handlers) };
}

/** A daemon may name Docker Hub by the host that serves it. */
const HUB_HOST = /^registry-\d+\.docker\.io$/;

/** What the daemon may call. */
export function handlersOf(session: Session, offer: SessionOffer): Handlers {
  const { io } = session;
  const handlers: Handlers = new Map([
    unary(health.Health.method.check, () => ({
      status: health.HealthCheckResponse_ServingStatus.SERVING,
    })),
    unary(auth.Auth.method.credentials, async ({ host }) => {
      const found = await credentialsFor(session, HUB_HOST.test(host) ? "" : host);
      if (found.identityToken !== undefined) return { secret: found.identityToken };
      return { username: found.username ?? "", secret: found.password ?? "" };
    }),
    unary(secrets.Secrets.method.getSecret, async ({ id }) => ({
      data: await readSecret(io, offer.secrets, id),
    })),
    unary(ssh.SSH.method.checkAgent, ({ id }) => {
      agentOf(offer.agents, id);
      return {};
    }),
  ]);
  handlers.set(pathOf(ssh.SSH.method.forwardAgent), (call) =>
    forwardAgent(call, agentOf(offer.agents, first(call.metadata, "buildkit.ssh.id"))),
  );
  handlers.set(pathOf(filesync.FileSync.method.diffCopy), (call) => {
    const name = first(call.metadata, "dir-name");
    const folder = offer.folders.get(name);
    if (folder === undefined) {
      throw new GantryError("not-found", `no access allowed to dir ${JSON.stringify(name)}`);
    }
    return sendFolder(call, folder, {
      include: list(call.metadata, "include-patterns"),
      exclude: list(call.metadata, "exclude-patterns"),
      follow: list(call.metadata, "followpaths"),
    });
  });
  handlers.set(pathOf(filesync.FileSend.method.diffCopy), async (call) => {
    const number = Number(first(call.metadata, "buildkit-attachable-exporter-id") || "0");
    const target = offer.outputs[number];
    if (target === undefined) throw new GantryError("not-found", `no output ${number} takes files`);
    if ("folder" in target) await receiveFolder(call, target.folder);
    else await receiveFile(call, target);
  });
  handlers.set(pathOf(upload.Upload.method.pull), (call) => sendUpload(call, offer.uploads));
  for (const [path, handler] of contentHandlers(offer)) handlers.set(path, handler);
  return handlers;
}

function contentHandlers({ stores }: SessionOffer): Handlers {
  const storeOf = (call: ServedCall) => {
    const id = first(call.metadata, "buildkit-attachable-store-id");
    const path = stores.get(id) ?? stores.get(`oci:${id}`) ?? stores.get(`local:${id}`);
    if (path === undefined)
      throw new GantryError("not-found", `unknown store ${JSON.stringify(id)}`);
    return new LayoutFolder(path);
  };
  const { info, read, write, abort } = content.Content.method;
  return new Map([
    unary(info, async ({ digest }, call) => ({
      info: { digest, size: BigInt(await storeOf(call).size(digest)) },
    })),
    // A write that is given up leaves nothing behind.
    unary(abort, () => ({})),
    [pathOf(read), async (call) => readBlob(call, storeOf(call), await oneMessage(read, call))],
    [pathOf(write), (call) => writeBlob(call, storeOf(call))],
  ]);
}

async function sendUpload(call: ServedCall, uploads: ReadonlyMap<string, Readable>): Promise<void> {
  const path = first(call.metadata, "urlpath");
  const bytes = uploads.get(path.slice(path.lastIndexOf("/") + 1));
  if (bytes === undefined) throw new GantryError("not-found", `no upload ${JSON.stringify(path)}`);
  for await (const data of bytes as AsyncIterable<Buffer>) {
    const message = create(upload.BytesMessageSchema, { data });
    await call.sendFrames(framed(toBinary(upload.BytesMessageSchema, message)));
  }
}

/** Metadata of one name. Values that are no plain text come encoded and say so. */
function list(metadata: Metadata, name: string): readonly string[] {
  const texts = metadata.get(name) ?? [];
  if (!metadata.has(`${name}-encoded`)) return texts;
  return texts.map((text) => decodeURIComponent(text.replaceAll("+", "%20")));
}

function first(metadata: Metadata, name: string): string {
  return list(metadata, name)[0] ?? "";
}
