// The requests that are being answered, long ones (logs -f, events, attach) included: for the dump
// that SIGUSR1 asks for, and one line a request where the log is at debug, as dockerd writes.

import type { IncomingMessage } from "node:http";
import type { Logger } from "../base/index.ts";

export interface OpenRequest {
  method: string;
  url: string;
  seconds: number;
}

export class OpenRequests {
  #log: Logger;
  #open = new Map<symbol, { method: string; url: string; since: number }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Returns what is to be called when the request has been answered. */
  begin({ method = "GET", url = "/" }: IncomingMessage): (status: number) => void {
    const key = Symbol();
    const since = performance.now();
    this.#open.set(key, { method, url, since });
    const tells = this.#log.level === "debug";
    const about = { method, module: "api", "request-url": url };
    if (tells) this.#log.debug(`handling ${method} request`, about);
    return (status) => {
      if (!this.#open.delete(key) || !tells) return;
      const ms = Math.round(performance.now() - since);
      this.#log.debug(`handled ${method} request`, { ...about, status, ms });
    };
  }

  /** The oldest first. */
  list(): OpenRequest[] {
    const now = performance.now();
    return [...this.#open.values()].map(({ method, url, since }) => ({
      method,
      url,
      seconds: Math.round((now - since) / 100) / 10,
    }));
  }
}
