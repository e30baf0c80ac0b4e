// Health: /healthz says that the process answers (restart it when not), /readyz that it can serve
// (send it no requests when not): the store is asked, with a deadline. Many probes share one
// question, and its answer holds for a second, so that probes are no load.

import { messageOf } from "../../base/index.ts";
import type { ObjectStore } from "../contract.ts";

const deadlineMs = 5000;
const freshMs = 1000;

export interface Readiness {
  ready: boolean;
  readOnly: boolean;
  /** Name of a check → "ok", or what is wrong. */
  checks: Record<string, string>;
}

export interface HealthOptions {
  store: Pick<ObjectStore, "stat">;
  readOnly?: () => boolean;
  /** True while the server ends: it is alive, but wants no new requests. */
  stopping?: () => boolean;
  deadlineMs?: number;
}

export interface Health {
  ready(): Promise<Readiness>;
}

export function createHealth(options: HealthOptions): Health {
  let asked: { at: number; answer: Promise<string> } | undefined;

  function storeState(): Promise<string> {
    const now = performance.now();
    if (!asked || now - asked.at >= freshMs) {
      asked = { at: now, answer: askStore(options) };
    }
    return asked.answer;
  }

  return {
    async ready() {
      const store = await storeState();
      const stopping = options.stopping?.() ?? false;
      return {
        ready: store === "ok" && !stopping,
        readOnly: options.readOnly?.() ?? false,
        checks: { store, ...(stopping && { server: "it is shutting down" }) },
      };
    },
  };
}

async function askStore(options: HealthOptions): Promise<string> {
  const ms = options.deadlineMs ?? deadlineMs;
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`no answer within ${ms} ms`), ms);
    });
    // Whether the object is there does not matter: the store has answered.
    const asked = options.store.stat("health-check").then(() => "ok");
    return await Promise.race([asked, late]);
  } catch (error) {
    return messageOf(error);
  } finally {
    clearTimeout(timer);
  }
}
