// A client's session as the builder sees it, over gRPC. What the client offers it says in the
// headers of its connection; what it does not offer is answered here, without asking.

import type { Duplex } from "node:stream";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { GantryError } from "../base/index.ts";
import type {
  BuildSession,
  ClientFolder,
  Credentials,
  FolderRequest,
  FolderSink,
  SessionContentStore,
} from "../engine/index.ts";
import { auth, secrets, ssh } from "../gen/buildkit/index.ts";
import { failedWith } from "../wire/index.ts";
import { readBytesMessage } from "./bytes-message.ts";
import type { ClientConnection } from "./client-connection.ts";
import { contentStore } from "./content-store.ts";
import { FILE_SEND, sendFile } from "./file-send.ts";
import { DIFF_COPY, ReceivedFolder } from "./folder-receive.ts";
import { sendFolder } from "./folder-send.ts";
import { MessageQueue } from "./message-queue.ts";
import { connectAgent } from "./ssh-agent.ts";

const CREDENTIALS = "/moby.filesync.v1.Auth/Credentials";
const GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CHECK_AGENT = "/moby.sshforward.v1.SSH/CheckAgent";
const PULL = "/moby.upload.v1.Upload/Pull";
/** BuildKit's limit. */
const SECRET_BYTES_MAX = 500 * 1024;

export interface SessionFacts {
  id: string;
  name: string;
  sharedKey: string;
  /** "/package.Service/Method", lower case. */
  methods: ReadonlySet<string>;
}

type Asked = { signal: AbortSignal };

export class ClientSession implements BuildSession {
  readonly id: string;
  readonly sharedKey: string;
  readonly #connection: ClientConnection;
  readonly #methods: ReadonlySet<string>;

  constructor(connection: ClientConnection, { id, sharedKey, methods }: SessionFacts) {
    this.#connection = connection;
    this.id = id;
    this.sharedKey = sharedKey;
    this.#methods = methods;
  }

  get closed(): AbortSignal {
    return this.#connection.closed;
  }

  async openFolder(request: FolderRequest, { signal }: Asked): Promise<ClientFolder> {
    this.#require(DIFF_COPY, "no local sources enabled");
    return new ReceivedFolder(this.#connection, request, signal);
  }

  async credentials(host: string, { signal }: Asked): Promise<Credentials | undefined> {
    if (!this.#offers(CREDENTIALS)) return undefined;
    const answer = await this.#ask(
      CREDENTIALS,
      [auth.CredentialsRequestSchema, { host }],
      auth.CredentialsResponseSchema,
      signal,
    );
    const { username, secret } = answer;
    if (username === "" && secret === "") return undefined;
    // A client without a name for its secret means a refresh token.
    if (username === "") return { identityToken: secret };
    return { username, password: secret };
  }

  async secret(id: string, { signal }: Asked): Promise<Uint8Array | undefined> {
    if (!this.#offers(GET_SECRET)) return undefined;
    try {
      const { data } = await this.#ask(
        GET_SECRET,
        [secrets.GetSecretRequestSchema, { id }],
        secrets.GetSecretResponseSchema,
        signal,
      );
      if (data.length <= SECRET_BYTES_MAX) return data;
    } catch (error) {
      if (failedWith(error, "NotFound") || failedWith(error, "Unimplemented")) return undefined;
      throw error;
    }
    const most = `${SECRET_BYTES_MAX} bytes`;
    throw new GantryError("invalid", `the secret ${JSON.stringify(id)} has more than ${most}`);
  }

  async hasSshAgent(id: string, { signal }: Asked): Promise<boolean> {
    if (!this.#offers(CHECK_AGENT)) return false;
    try {
      const request = [ssh.CheckAgentRequestSchema, { id }] as const;
      await this.#ask(CHECK_AGENT, request, ssh.CheckAgentResponseSchema, signal);
      return true;
    } catch (error) {
      // Go's plain errors have the code Unknown: "unset ssh forward key default".
      if (
        ["Unknown", "NotFound", "Unimplemented"].some((code) =>
          failedWith(error, code as "Unknown"),
        )
      ) {
        return false;
      }
      throw error;
    }
  }

  async connectSshAgent(id: string, { signal }: Asked): Promise<Duplex> {
    this.#require(CHECK_AGENT, "the client forwards no ssh agent");
    return connectAgent(this.#connection, id, signal);
  }

  async openUpload(url: string, { signal }: Asked): Promise<AsyncIterable<Uint8Array>> {
    this.#require(PULL, "the client offers no upload");
    const { pathname, host } = new URL(url);
    const queue = new MessageQueue<Uint8Array>();
    const call = this.#connection.call({
      ...{ path: PULL, metadata: { urlpath: pathname, urlhost: host }, signal },
      message: (bytes) => {
        const data = readBytesMessage(bytes);
        queue.push(data, data.length);
      },
      ended: (error) => queue.end(error),
    });
    queue.call = call;
    call.finish();
    return queue;
  }

  async sendFile(
    output: { exporter: string; metadata: Readonly<Record<string, string>> },
    bytes: AsyncIterable<Uint8Array>,
    { signal }: Asked,
  ): Promise<void> {
    this.#require(FILE_SEND, "the client takes no files");
    await sendFile(this.#connection, output, bytes, signal);
  }

  async sendFolder(
    { exporter }: { exporter: string },
    folder: FolderSink,
    { signal }: Asked,
  ): Promise<void> {
    this.#require(FILE_SEND, "the client takes no files");
    await sendFolder(this.#connection, exporter, folder, signal);
  }

  contentStore(name: string): SessionContentStore {
    this.#require(
      "/containerd.services.content.v1.Content/Info",
      "the client has no content store",
    );
    return contentStore(this.#connection, name);
  }

  async #ask<Q extends DescMessage, A extends DescMessage>(
    path: string,
    [schema, request]: readonly [Q, MessageInitShape<Q>],
    answer: A,
    signal: AbortSignal,
  ) {
    const bytes = toBinary(schema, create(schema, request));
    return fromBinary(answer, await this.#connection.ask(path, bytes, { signal }));
  }

  #offers(method: string): boolean {
    return this.#methods.has(method.toLowerCase());
  }

  #require(method: string, why: string): void {
    this.closed.throwIfAborted();
    if (!this.#offers(method)) throw new GantryError("not-found", `${why} (${method})`);
  }
}
