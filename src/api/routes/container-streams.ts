// Handlers of /containers/… whose answers are streams: logs, stats, attach; and resize.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import type { SomeHandlers } from "../call.ts";
import { parseTail, parseTimestamp } from "../parameters.ts";
import { empty, JsonText } from "../reply.ts";
import { acceptWebsocket, withoutFrames } from "../websocket.ts";

export const containerStreamHandlers = ({ containers }: EngineDoors) =>
  ({
    containerLogs: async ({ params, query, version, signal }) => {
      if (!query.stdout && !query.stderr) {
        throw invalid("Bad parameters: you must choose at least one stream");
      }
      const { follow, stdout, stderr, timestamps, details } = query;
      const since = parseTimestamp(query.since);
      const until = version.atLeast("1.35") ? parseTimestamp(query.until) : undefined;
      const { tty, blocks, dropped } = await containers.logs(params.id!, {
        follow,
        stdout,
        stderr,
        timestamps,
        details,
        tail: parseTail(query.tail),
        ...(since ? { since } : {}),
        ...(until ? { until } : {}),
        ...(query.grep ? { grep: query.grep } : {}),
        signal,
      });
      const headers: Record<string, string> = { "Content-Type": streamType(tty, version) };
      if (dropped !== undefined) headers["X-Gantry-Log-Dropped"] = String(dropped);
      return { kind: "blocks", blocks, headers };
    },

    containerStats: async ({ params, query, version, signal }) => {
      const oneShot = query["one-shot"] && version.atLeast("1.41");
      const ref = (await containers.inspect(params.id!, { signal })).id;
      const samples = containers.stats(ref, { stream: query.stream, oneShot, signal });
      return {
        kind: "documents",
        documents: rendered(samples, { withSystem: version.atLeast("1.52") }),
        headers: { "Content-Type": "application/json" },
        before: "",
        after: "\n",
        headersFirst: query.stream,
        inBand: false,
      };
    },

    containerAttach: async ({ params, query, version, signal }) => {
      const { stdin, stdout, stderr, stream, logs, detachKeys } = query;
      const attached = await containers.attach(params.id!, {
        stdin,
        stdout,
        stderr,
        stream,
        logs,
        ...(detachKeys === undefined ? {} : { detachKeys }),
        signal,
      });
      const contentType = streamType(attached.tty, version);
      return { kind: "hijack", stream: attached.stream, stdin: stdin && stream, contentType };
    },

    containerAttachWebsocket: async ({ params, query, headers, version, signal }) => {
      const head = acceptWebsocket({ headers });
      // Until API 1.41 all three streams were attached, whatever was asked.
      const all = version.below("1.42");
      const { logs, stream, detachKeys } = query;
      const attached = await containers.attach(params.id!, {
        stdin: all || query.stdin,
        stdout: all || query.stdout,
        stderr: all || query.stderr,
        stream,
        logs,
        ...(detachKeys === undefined ? {} : { detachKeys }),
        signal,
      });
      const raw = attached.tty ? attached.stream : withoutFrames(attached.stream);
      const stdin = stream && (all || query.stdin);
      return { kind: "websocket", stream: raw, stdin, head, version };
    },

    containerResize: async ({ params, query }) => {
      await containers.resize(params.id!, query.h, query.w);
      return empty(200);
    },
  }) satisfies SomeHandlers;

/** The content type of a log or attach stream. */
export function streamType(tty: boolean, version: ApiVersion): string {
  return !tty && version.atLeast("1.42")
    ? "application/vnd.docker.multiplexed-stream"
    : "application/vnd.docker.raw-stream";
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}

/** Which system's fields a sample has: Windows has others. */
const SYSTEM = { os_type: "linux" };
type Rendered = WeakMap<object, JsonText>;
const renderedPlain: Rendered = new WeakMap();
const renderedWithSystem: Rendered = new WeakMap();

/** Samples as text, made once however many clients look at a container. */
async function* rendered(
  samples: AsyncIterable<unknown>,
  { withSystem }: { withSystem: boolean },
): AsyncGenerator<JsonText> {
  const known = withSystem ? renderedWithSystem : renderedPlain;
  for await (const sample of samples as AsyncIterable<object>) {
    let text = known.get(sample);
    if (!text) {
      text = new JsonText(JSON.stringify(withSystem ? { ...sample, ...SYSTEM } : sample));
      known.set(sample, text);
    }
    yield text;
  }
}
