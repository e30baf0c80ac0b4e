// The sessions that clients have open, by id. A build names its session, whose connection may
// arrive a little after it.

import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";
import { ClientConnection } from "./client-connection.ts";
import { ClientSession, type SessionFacts } from "./client-session.ts";

/** How long a build waits for its session's connection: BuildKit's own. */
const ARRIVAL_MS = 5_000;
const SESSIONS_MAX = 1_000;

/** Headers of `POST /session`, or metadata of Control.Session. */
export type SessionHeaders = (name: string) => readonly string[];

export class Sessions {
  readonly #open = new Map<string, ClientSession>();
  readonly #waiting = new Map<string, Set<(session: ClientSession) => void>>();

  /** What a client says of its session. Throws invalid. */
  facts(header: SessionHeaders): SessionFacts {
    const [id = ""] = header("x-docker-expose-session-uuid");
    const [name = ""] = header("x-docker-expose-session-name");
    const [sharedKey = ""] = header("x-docker-expose-session-sharedkey");
    const methods = header("x-docker-expose-session-grpc-method")
      .flatMap((value) => value.split(","))
      .map((method) => method.trim().toLowerCase());
    if (id === "") throw new GantryError("invalid", "a session needs an id");
    if (this.#open.has(id)) throw new GantryError("invalid", `session ${id} already exists`);
    if (this.#open.size >= SESSIONS_MAX) {
      throw new GantryError("exhausted", `${SESSIONS_MAX} sessions are open: no more are taken`);
    }
    return { id, name, sharedKey, methods: new Set(methods) };
  }

  /** Resolves when the client has gone. */
  async serve(socket: Duplex, facts: SessionFacts): Promise<void> {
    if (socket.destroyed) return;
    const connection = new ClientConnection(socket);
    const session = new ClientSession(connection, facts);
    this.#open.set(facts.id, session);
    for (const taken of this.#waiting.get(facts.id) ?? []) taken(session);
    this.#waiting.delete(facts.id);
    await connection.ended;
    this.#open.delete(facts.id);
  }

  /** Throws not-found when its client does not connect in time. */
  async get(id: string, { signal }: { signal: AbortSignal }): Promise<ClientSession> {
    signal.throwIfAborted();
    const known = this.#open.get(id);
    if (known) return known;
    const { promise, resolve, reject } = Promise.withResolvers<ClientSession>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    const late = setTimeout(() => {
      reject(
        new GantryError("not-found", `no active session for ${id}: context deadline exceeded`),
      );
    }, ARRIVAL_MS);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", onAbort);
      waiting.delete(resolve);
      if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
    }
  }
}
