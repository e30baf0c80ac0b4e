// What run, start -a, attach and exec share while a container has the caller's attention: the
// terminal's size follows, signals are passed on.

import type { Client } from "../../client/index.ts";
import type { Session } from "../session.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";

/** The keys in force, as text for the daemon and as bytes for the client. */
export function detachKeysOf(session: Session, flag: string): { text: string; keys: number[] } {
  const text = flag || session.config.detachKeys || "";
  return { text, keys: parseDetachKeys(text || DEFAULT_DETACH_KEYS) };
}

/** Keeps the remote terminal as large as the caller's; returns how to stop. */
export function followSize(session: Session, client: Client, path: string): () => void {
  const resize = () => {
    const size = session.io.windowSize();
    if (!size) return;
    client
      .empty("POST", `${path}/resize`, { query: { h: size.rows, w: size.columns } })
      .catch(() => {
        // The process may be gone already; its exit is reported elsewhere.
      });
  };
  resize();
  return session.io.onResize(resize);
}

/** Passes signals on to the container; returns how to stop. */
export function proxySignals(session: Session, client: Client, id: string): () => void {
  return session.io.onSignal((signal) => {
    client.empty("POST", `/containers/${id}/kill`, { query: { signal } }).catch(() => {
      // A container that has ended takes no signals.
    });
  });
}

export const TTY_NEEDED = "the input device is not a TTY";
