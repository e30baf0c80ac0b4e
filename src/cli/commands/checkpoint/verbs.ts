// The verbs of `checkpoint`, each the request that docker's command line makes.

import { type Command, defineCommand } from "../../command.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { segment } from "../each.ts";

const FOLDER = {
  "checkpoint-dir": { type: "string", usage: "Folder of checkpoints instead of the container's" },
} as const;

const path = (container: string): string => `/containers/${segment(container)}/checkpoints`;

export const create: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER CHECKPOINT",
  short: "Freeze a running container to disk",
  spellings: ["checkpoint create"],
  args: { min: 2, max: 2 },
  flags: {
    ...FOLDER,
    "leave-running": { type: "bool", usage: "Let the container go on" },
  },
  async run(session, { values, args: [container = "", name = ""] }) {
    const client = await session.client();
    const json = {
      CheckpointID: name,
      CheckpointDir: values["checkpoint-dir"],
      Exit: !values["leave-running"],
    };
    await client.empty("POST", path(container), { json });
    session.print(name);
    return 0;
  },
});

interface CheckpointAnswer {
  Name: string;
}
const row: RowType<CheckpointAnswer> = {
  goType: "*checkpoint.checkpointContext",
  columns: { Name: { header: "CHECKPOINT NAME", value: ({ Name }) => Name } },
};

export const ls: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER",
  short: "List checkpoints of a container",
  spellings: ["checkpoint ls", "checkpoint list"],
  args: { min: 1, max: 1 },
  flags: FOLDER,
  async run(session, { values, args: [container = ""] }) {
    const client = await session.client();
    const query = { dir: values["checkpoint-dir"] || undefined };
    const rows = await client.json<CheckpointAnswer[]>("GET", path(container), { query });
    await printRows(session.io.stdout, row, rows, "table {{.Name}}");
    return 0;
  },
});

export const rm: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER CHECKPOINT",
  short: "Remove a checkpoint",
  spellings: ["checkpoint rm", "checkpoint remove"],
  args: { min: 2, max: 2 },
  flags: FOLDER,
  async run(session, { values, args: [container = "", name = ""] }) {
    const client = await session.client();
    const query = { dir: values["checkpoint-dir"] || undefined };
    await client.empty("DELETE", `${path(container)}/${segment(name)}`, { query });
    return 0;
  },
});
