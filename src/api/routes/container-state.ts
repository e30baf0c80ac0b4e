// Handlers of /containers/… that start, stop, await and remove.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import type { SomeHandlers } from "../call.ts";
import { empty } from "../reply.ts";

const WAIT_CONDITIONS = ["not-running", "next-exit", "removed"] as const;

export const containerStateHandlers = ({ containers }: EngineDoors) =>
  ({
    containerStart: async ({ params, query, headers, signal }) => {
      const bodyBytes = Number(headers["content-length"] ?? 0);
      if (bodyBytes > 7 || headers["transfer-encoding"] !== undefined) {
        throw invalid(
          "starting container with non-empty request body was deprecated since API v1.22 and " +
            "removed in v1.24",
        );
      }
      const { checkpoint, "checkpoint-dir": checkpointDir } = query;
      await containers.start(params.id!, {
        ...(checkpoint && { checkpoint }),
        ...(checkpointDir && { checkpointDir }),
        signal,
      });
      return empty();
    },

    containerStop: async ({ params, query, version }) => {
      await containers.stop(params.id!, stopOptions(query, version));
      return empty();
    },

    containerRestart: async ({ params, query, version }) => {
      await containers.restart(params.id!, stopOptions(query, version));
      return empty();
    },

    containerKill: async ({ params, query, signal }) => {
      await containers.kill(params.id!, query.signal || "SIGKILL", { signal });
      return empty();
    },

    containerPause: async ({ params, signal }) => {
      await containers.pause(params.id!, { signal });
      return empty();
    },

    containerUnpause: async ({ params, signal }) => {
      await containers.unpause(params.id!, { signal });
      return empty();
    },

    containerWait: async ({ params, query, version, signal }) => {
      const condition = version.below("1.30") ? "not-running" : query.condition || "not-running";
      if (!isWaitCondition(condition)) {
        throw invalid(`invalid condition: ${JSON.stringify(condition)}`);
      }
      const { done } = await containers.wait(params.id!, condition, { signal });
      const body = done.then(({ exitCode, error, reason }) => ({
        StatusCode: exitCode,
        ...(reason === undefined ? {} : { Reason: reason }),
        ...(error === undefined ? {} : { Error: { Message: error } }),
      }));
      return { kind: "later", body };
    },

    containerDelete: async ({ params, query }) => {
      const { v: volumes, force, link } = query;
      await containers.remove(params.id!, { volumes, force, link });
      return empty();
    },
  }) satisfies SomeHandlers;

function isWaitCondition(text: string): text is (typeof WAIT_CONDITIONS)[number] {
  return (WAIT_CONDITIONS as readonly string[]).includes(text);
}

function stopOptions(
  query: { t: number | undefined; signal: string | undefined },
  version: ApiVersion,
): { timeoutSeconds?: number; stopSignal?: string } {
  return {
    ...(query.t === undefined ? {} : { timeoutSeconds: query.t }),
    ...(query.signal && version.atLeast("1.42") ? { stopSignal: query.signal } : {}),
  };
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
