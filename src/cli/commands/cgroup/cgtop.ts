import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { LiveScreen } from "../../format/live-screen.ts";
import { printRows } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import type { Session } from "../../session.ts";
import { type Cgroups, fetchCgroups } from "./fetch.ts";
import { matching } from "./selection.ts";
import { isSortKey, ROOM_TABLE, SORT_KEYS, type TopLine, topLines, topRow } from "./top-lines.ts";

const INTERVAL_NANOSECONDS_MIN = 100e6;

const command: Command = defineCommand({
  usage: "[OPTIONS] [CONTAINER...]",
  short: "Show which containers' cgroups use most, live",
  long:
    "Show what the containers' cgroups use of cpu, memory, io and processes, with limits and " +
    "pressure (share of time in which tasks waited, over 10 seconds). Live on a terminal, once " +
    "elsewhere.",
  args: { min: 0 },
  flags: {
    all: { type: "bool", shorthand: "a", usage: "Show groups within containers and builds too" },
    format: { type: "string", usage: FORMAT_USAGE },
    interval: { type: "duration", default: 1e9, usage: "Time between two samples" },
    "no-stream": { type: "bool", usage: "Show one sample and end" },
    "no-trunc": { type: "bool", usage: "Show ids and texts whole" },
    sort: { type: "string", default: "cpu", usage: `Sort by ${SORT_KEYS.join(", ")}` },
  },
  async run(session, { values, args }) {
    const { sort, interval, format } = values;
    if (!isSortKey(sort)) {
      const known = SORT_KEYS.join(", ");
      throw new GantryError("invalid", `cannot sort by ${JSON.stringify(sort)}: one of ${known}`);
    }
    if (interval < INTERVAL_NANOSECONDS_MIN) {
      throw new GantryError("invalid", "--interval must be at least 100ms");
    }
    const type = topRow(!values["no-trunc"]);
    const shown = format === "" || format === "table" ? ROOM_TABLE : format;
    const select = (answer: Cgroups) => {
      const groups = matching(answer, args);
      return values.all ? groups : groups.filter(({ Container }) => Container !== undefined);
    };
    const { stdout } = session.io;
    const isLive = stdout.isTerminal && !values["no-stream"];
    using screen = new LiveScreen(session.io, isLive);
    for await (const [before, now] of samples(session, interval / 1e6, screen.signal)) {
      const lines = topLines(before, now, { select, sort });
      await screen.draw((out) => printRows<TopLine>(out, type, lines, shown));
      if (!isLive) break;
    }
    return 0;
  },
});
export default command;

/** Two samples each, an interval apart, until the caller leaves. */
async function* samples(
  session: Session,
  intervalMs: number,
  signal: AbortSignal,
): AsyncGenerator<[Cgroups, Cgroups]> {
  const client = await session.client();
  let before = await fetchCgroups(client, { signal });
  while (await untilNext(intervalMs, signal)) {
    const now = await fetchCgroups(client, { signal });
    if (signal.aborted) return;
    yield [before, now];
    before = now;
  }
}

/** A sampling clock; false when the caller is gone. */
async function untilNext(ms: number, signal: AbortSignal): Promise<boolean> {
  await delay(ms, undefined, { signal }).catch(() => {});
  return !signal.aborted;
}
