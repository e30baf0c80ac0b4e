// `stats`: the samples of some containers, or of all that run while it does: what starts later
// joins them, what ends leaves. One stream a container, one line each, printed twice a second.

import { GantryError } from "../../../base/index.ts";
import type { Client } from "../../../client/index.ts";
import { jsonValues } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import type { ContainerSummary } from "../../format/container.ts";
import {
  STATS_TABLE,
  type StatsLine,
  type StatsSample,
  statsLine,
  statsRow,
} from "../../format/stats.ts";
import { printRows } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import type { Session } from "../../session.ts";
import { segment } from "../each.ts";

const REFRESH_MS = 500;

const command: Command = defineCommand({
  usage: "[OPTIONS] [CONTAINER...]",
  short: "Show what containers use, live",
  spellings: ["container stats", "stats"],
  args: { min: 0 },
  flags: {
    all: { type: "bool", shorthand: "a", usage: "Show stopped containers too" },
    format: { type: "string", usage: FORMAT_USAGE },
    "no-stream": { type: "bool", usage: "Show one sample and end" },
    "no-trunc": { type: "bool", usage: "Show ids and texts whole" },
  },
  async run(session, { values, args }) {
    const client = await session.client();
    let format = values.format || session.config.statsFormat || "table";
    if (format === "table") format = STATS_TABLE;
    const type = statsRow(!values["no-trunc"]);
    if (values["no-stream"]) {
      const names = args.length > 0 ? args : await running(client, values.all);
      const samples = names.map((name) => once(client, name));
      const lines = await Promise.all(samples);
      await printRows(session.io.stdout, type, lines, format);
      return 0;
    }
    await live(session, client, { names: args, all: values.all }, async (lines) => {
      const clear = session.io.stdout.isTerminal ? "\x1b[2J\x1b[H" : "";
      session.io.stdout.write(clear);
      await printRows(session.io.stdout, type, lines, format);
    });
    return 0;
  },
});
export default command;

async function running(client: Client, all: boolean): Promise<string[]> {
  const list = await client.json<ContainerSummary[]>("GET", "/containers/json", {
    query: { all: all || undefined },
  });
  return list.map(({ Id }) => Id);
}

async function once(client: Client, name: string): Promise<StatsLine> {
  const sample = await client.json<StatsSample>("GET", `/containers/${segment(name)}/stats`, {
    query: { stream: 0 },
  });
  return statsLine(name, sample);
}

async function live(
  session: Session,
  client: Client,
  { names, all }: { names: readonly string[]; all: boolean },
  show: (lines: StatsLine[]) => Promise<void>,
): Promise<void> {
  const streams = new StatsStreams(client, session.io.signal);
  const failed = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    show([...streams.latest.values()]).catch(failed.reject);
  }, REFRESH_MS);
  try {
    const whole =
      names.length > 0
        ? Promise.all(names.map((name) => streams.follow(name)))
        : followAll(client, streams, { all, signal: session.io.signal });
    await Promise.race([whole, failed.promise]);
  } finally {
    clearInterval(timer);
    streams.close();
  }
}

/** Those that run now and those that start later; with `all` every one that there is. */
async function followAll(
  client: Client,
  streams: StatsStreams,
  { all, signal }: { all: boolean; signal: AbortSignal },
): Promise<void> {
  const event = all ? ["create", "start"] : ["start", "die"];
  const filters = JSON.stringify({ type: ["container"], event });
  // Asked for before the list: what starts in between is in one of them.
  const { body } = await client.call("GET", "/events", { query: { filters }, signal });
  const follow = (id: string): void => {
    // One that is gone again before it was asked for is no failure.
    streams.follow(id).catch((error: unknown) => {
      if (!(error instanceof GantryError && error.kind === "not-found")) streams.fail(error);
    });
  };
  for (const id of await running(client, all)) follow(id);
  const told = (async () => {
    for await (const { Action, Actor } of jsonValues<ContainerEvent>(body)) {
      if (Action === "die") streams.drop(Actor.ID);
      else follow(Actor.ID);
    }
  })();
  await Promise.race([told, streams.failed]);
}

interface ContainerEvent {
  Action: string;
  Actor: { ID: string };
}

/** The samples of several containers, each for as long as somebody wants them. */
class StatsStreams {
  readonly latest = new Map<string, StatsLine>();
  /** Never resolves. */
  readonly failed: Promise<never>;
  readonly fail: (error: unknown) => void;
  #client: Client;
  #signal: AbortSignal;
  #open = new Map<string, AbortController>();

  constructor(client: Client, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.failed = promise;
    this.fail = reject;
  }

  /** Resolves when the container is gone or nobody wants it any more. */
  async follow(name: string): Promise<void> {
    if (this.#open.has(name)) return;
    const stop = new AbortController();
    this.#open.set(name, stop);
    try {
      const { body } = await this.#client.call("GET", `/containers/${segment(name)}/stats`, {
        query: { stream: true },
        signal: AbortSignal.any([this.#signal, stop.signal]),
      });
      for await (const sample of jsonValues<StatsSample>(body)) {
        if (stop.signal.aborted) return;
        this.latest.set(name, statsLine(name, sample));
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      if (this.#open.get(name) === stop) this.drop(name);
    }
  }

  drop(name: string): void {
    this.#open.get(name)?.abort();
    this.#open.delete(name);
    this.latest.delete(name);
  }

  close(): void {
    for (const name of this.#open.keys()) this.drop(name);
  }
}
