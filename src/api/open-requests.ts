// The requests that are being answered, long ones (logs -f, events, attach) included: for the dump
// that SIGUSR1 asks for, and one line a request where the log is at debug, as dockerd writes.

import type { IncomingMessage } from "node:http";
import type { Logger } from "../base/index.ts";

export interface OpenRequest {
  method: string;
  url: string;
  seconds: number;
}

const URL_CHARACTERS_MAX = 2048;
/** Build arguments are where people put tokens, and addresses of sources have passwords. */
const SECRET_QUERY = /([?&](?:buildargs|remote|fromSrc|outputs)=)[^&]*/gi;

/** What a log may keep of a request's address. Pure. */
export function shownUrl(url: string): string {
  const shown = url.replace(SECRET_QUERY, "$1*****");
  return shown.length <= URL_CHARACTERS_MAX ? shown : `${shown.slice(0, URL_CHARACTERS_MAX)}…`;
}

export class OpenRequests {
  #log: Logger;
  #open = new Map<symbol, { method: string; url: string; since: number }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Returns what is to be called when the request has been answered. */
  begin({ method = "GET", url: whole = "/" }: IncomingMessage): (status: number) => void {
    const url = shownUrl(whole);
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
