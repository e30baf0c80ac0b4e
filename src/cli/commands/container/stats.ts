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
    const names = args.length > 0 ? args : await running(client, values.all);
    let format = values.format || session.config.statsFormat || "table";
    if (format === "table") format = STATS_TABLE;
    const type = statsRow(!values["no-trunc"]);
    if (values["no-stream"]) {
      const samples = names.map((name) => once(client, name));
      const lines = await Promise.all(samples);
      await printRows(session.io.stdout, type, lines, format);
      return 0;
    }
    await live(session, client, names, async (lines) => {
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
  names: readonly string[],
  show: (lines: StatsLine[]) => Promise<void>,
): Promise<void> {
  const latest = new Map<string, StatsLine>();
  const timer = setInterval(() => void show([...latest.values()]), REFRESH_MS);
  try {
    await Promise.all(
      names.map(async (name) => {
        const { body } = await client.call("GET", `/containers/${segment(name)}/stats`, {
          query: { stream: true },
          signal: session.io.signal,
        });
        for await (const sample of jsonValues<StatsSample>(body)) {
          latest.set(name, statsLine(name, sample));
        }
        latest.delete(name);
      }),
    );
  } finally {
    clearInterval(timer);
  }
}
