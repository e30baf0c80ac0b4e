import { type Command, defineCommand } from "../../command.ts";
import { objectFormat } from "../../format/object.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import {
  completedMs,
  durationText,
  findRecord,
  type HistoryRecord,
  nameOf,
  readHistory,
  startedMs,
  statusOfRecord,
} from "./history-records.ts";
import { metadataOf } from "./metadata-file.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [REF]",
  short: "Show a build",
  args: { min: 0, max: 1 },
  flags: {
    ...BUILDER_FLAGS,
    format: {
      type: "string",
      default: "pretty",
      usage: 'How to show it ("pretty", "json" or a template)',
    },
  },
  async run(session, { values, args }) {
    checkBuilder(values.builder);
    const { signal, stdout } = session.io;
    using builder = await openBuilder(session);
    const record = findRecord(await readHistory(builder, { signal }), args[0] ?? "");
    const facts = factsOf(record);
    if (values.format === "pretty") stdout.write(prettyText(facts));
    else if (values.format === "json") session.print(JSON.stringify(facts, undefined, 2));
    else session.print((await objectFormat(values.format))(facts));
    return 0;
  },
});
export default command;

type Facts = ReturnType<typeof factsOf>;

function factsOf(record: HistoryRecord) {
  const completed = completedMs(record);
  const attrs = Object.entries(record.frontendAttrs);
  const named = (prefix: string) =>
    attrs
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, Value]) => ({ Name: name.slice(prefix.length), Value }));
  return {
    Name: nameOf(record),
    Ref: record.ref,
    Context: record.frontendAttrs["context"] ?? "",
    Dockerfile: record.frontendAttrs["filename"] ?? "Dockerfile",
    Target: record.frontendAttrs["target"] ?? "",
    Platform: (record.frontendAttrs["platform"] ?? "").split(",").filter((text) => text !== ""),
    BuildArgs: named("build-arg:"),
    Labels: named("label:"),
    NamedContexts: named("context:"),
    StartedAt: new Date(startedMs(record)).toISOString(),
    CompletedAt: completed === undefined ? null : new Date(completed).toISOString(),
    Duration: durationText((completed ?? Date.now()) - startedMs(record)),
    Status: statusOfRecord(record).toLowerCase(),
    Error: record.error?.message ?? "",
    NumCompletedSteps: record.numCompletedSteps,
    NumTotalSteps: record.numTotalSteps,
    NumCachedSteps: record.numCachedSteps,
    NumWarnings: record.numWarnings,
    Metadata: metadataOf(record.exporterResponse),
  };
}

function prettyText(facts: Facts): string {
  const lines: [string, string][] = [
    ["Name:", facts.Name],
    ["Build ID:", facts.Ref],
    ["Context:", facts.Context],
    ["Dockerfile:", facts.Dockerfile],
    ["Target:", facts.Target],
    ["Platforms:", facts.Platform.join(", ")],
    ["Started:", facts.StartedAt],
    ["Duration:", facts.Duration],
    ["Status:", facts.Status],
    ["Build steps:", `${facts.NumCompletedSteps}/${facts.NumTotalSteps}`],
    ["Cached:", `${facts.NumCachedSteps}`],
    ["Warnings:", facts.NumWarnings === 0 ? "" : String(facts.NumWarnings)],
    ["Error:", facts.Error],
    ["Image:", String(facts.Metadata["containerimage.digest"] ?? "")],
  ];
  const shown = lines.filter(([, value]) => value !== "");
  let out = shown.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join("");
  for (const [title, all] of [
    ["Build arguments:", facts.BuildArgs],
    ["Labels:", facts.Labels],
    ["Named contexts:", facts.NamedContexts],
  ] as const) {
    if (all.length === 0) continue;
    out += `\n${title}\n${all.map(({ Name, Value }) => `  ${Name}=${Value}\n`).join("")}`;
  }
  return out;
}
