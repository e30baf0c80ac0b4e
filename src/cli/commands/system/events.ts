import { jsonTexts } from "../../../client/index.ts";
import { parseJson } from "../../../template/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { parseTime } from "../../flags/times.ts";
import { objectFormat } from "../../format/object.ts";
import { printable } from "../../format/style.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";

interface EventMessage {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes?: Record<string, string> | null };
  time?: number;
  timeNano?: number | bigint;
  /** Gantry's own, where it was asked for. */
  cursor?: string;
}

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Show events as they happen",
  spellings: ["system events", "events"],
  args: { min: 0, max: 0 },
  flags: {
    after: { type: "string", usage: "Go on behind the event with this cursor" },
    cursor: { type: "bool", usage: "Show each event's cursor, for --after" },
    filter: filterFlag("Show only what matches NAME=VALUE", "f"),
    format: { type: "string", usage: FORMAT_OBJECT_USAGE },
    since: { type: "string", usage: "Begin with events from this time on" },
    until: { type: "string", usage: "End at this time" },
  },
  async run(session, { values }) {
    // Labels are of strangers: on a terminal nothing in them moves the cursor.
    const shown = (event: EventMessage): string =>
      session.io.stdout.isTerminal ? printable(eventLine(event)) : eventLine(event);
    const format = values.format ? await objectFormat(values.format, { prefix: "" }) : undefined;
    const client = await session.client();
    const { body } = await client.call("GET", "/events", {
      query: {
        filters: encodeFilters(values.filter),
        since: values.since === "" ? undefined : parseTime(values.since),
        until: values.until === "" ? undefined : parseTime(values.until),
        after: values.after || undefined,
        cursor: values.cursor || undefined,
      },
      signal: session.io.signal,
    });
    for await (const text of jsonTexts(body)) {
      const event = parseJson(text) as EventMessage;
      if (isLoss(event)) session.warn(lossText(event));
      const place = values.cursor && !format ? `${event.cursor ?? ""} ` : "";
      session.print(`${place}${format ? format(withGoNames(event)) : shown(event)}`);
    }
    return 0;
  },
});
export default command;

/** What the daemon says where events are gone that the caller has not seen. */
const isLoss = ({ Type, Action }: EventMessage): boolean =>
  Type === "daemon" && Action === "events-lost";

function lossText({ Actor }: EventMessage): string {
  const { count = "unknown", reason = "" } = Actor.Attributes ?? {};
  return `WARNING: events were lost (${count}): ${reason}`;
}

/** Templates know these fields by their names in Go. */
function withGoNames(event: EventMessage): unknown {
  const named = {
    ...event,
    Time: event.time,
    TimeNano: event.timeNano,
    Scope: (event as { scope?: string }).scope,
    Cursor: event.cursor,
  };
  Object.defineProperty(named, "toJSON", { value: () => sorted(event), enumerable: false });
  return named;
}

/** Attributes are a map in Go, whose JSON is sorted. */
function sorted(event: EventMessage): EventMessage {
  const entries = Object.entries(event.Actor.Attributes ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...event, Actor: { ...event.Actor, Attributes: Object.fromEntries(entries) } };
}

function eventLine({ Type, Action, Actor, time, timeNano }: EventMessage): string {
  const attributes = Object.entries(Actor.Attributes ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const shown = attributes.length > 0 ? ` (${attributes.join(", ")})` : "";
  return `${timestamp(timeNano ?? 0, time ?? 0)} ${Type} ${Action} ${Actor.ID}${shown}`;
}

/** RFC 3339 with nine digits, in the machine's time zone. */
function timestamp(nanoseconds: number | bigint, seconds: number): string {
  const total = BigInt(nanoseconds) || BigInt(seconds) * 1_000_000_000n;
  const date = new Date(Number(total / 1_000_000n));
  const two = (n: number) => String(n).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const size = Math.abs(offset);
  const zone =
    offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${two(Math.trunc(size / 60))}:${two(size % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}T${time}.${String(total % 1_000_000_000n).padStart(9, "0")}${zone}`;
}
