import { humanBinarySize } from "../../../base/index.ts";
import { goJson } from "../../../template/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { type Paint, paintFor, printable } from "../../format/style.ts";
import { ellipsis } from "../../format/text.ts";
import { type TreeNode, treeLines } from "../../format/tree.ts";
import { type Cgroups, fetchCgroups, type GroupNode, groupTree, usedBytes } from "./fetch.ts";
import { jsonOnly, matching } from "./selection.ts";

const COMMAND_COLUMNS = 60;

const command: Command = defineCommand({
  usage: "[OPTIONS] [CONTAINER...]",
  short: "Show the containers' cgroups and their processes as a tree",
  long:
    "Show the containers' cgroups as a tree: what each uses of what it may use, the groups that a " +
    "container has made in its own, and the processes in each (pids of the daemon's host).",
  args: { min: 0 },
  flags: {
    format: { type: "string", usage: 'Print the answer as "json" instead' },
    "no-processes": { type: "bool", usage: "Leave the processes out" },
    "no-trunc": { type: "bool", usage: "Show ids and texts whole" },
  },
  async run(session, { values, args }) {
    const asJson = jsonOnly(values.format);
    const { stdout, signal } = session.io;
    const client = await session.client();
    const answer = await fetchCgroups(client, { processes: !values["no-processes"], signal });
    const groups = matching(answer, args);
    if (asJson) {
      session.print(goJson({ ...answer, Groups: groups }, { indent: "  " }));
      return 0;
    }
    const paint = paintFor(stdout);
    const roots = groupTree(groups).map((root) =>
      drawn(root, { answer, paint, whole: values["no-trunc"] }),
    );
    const width = values["no-trunc"] ? undefined : stdout.columns();
    for (const line of treeLines(roots)) {
      session.print(width === undefined || stdout.color ? line : ellipsis(line, width));
    }
    if (answer.Truncated) session.warn("There are more groups or processes than are shown.");
    return 0;
  },
});
export default command;

interface Drawing {
  answer: Cgroups;
  paint: Paint;
  whole: boolean;
}

function drawn(node: GroupNode, drawing: Drawing, above = ""): TreeNode {
  const { group, children } = node;
  const processes = (group.Processes ?? []).map(({ Pid, Command }) => {
    const line = printable(Command);
    return { text: `${Pid} ${drawing.whole ? line : ellipsis(line, COMMAND_COLUMNS)}` };
  });
  const groups = children.map((child) => drawn(child, drawing, group.Path));
  return { text: title(node, drawing, above), children: [...processes, ...groups] };
}

function title({ group }: GroupNode, { answer, paint, whole }: Drawing, above: string): string {
  const { Container } = group;
  const use = useText(group).join("  ");
  if (group.Path === answer.Parent) {
    const version = `cgroup v${answer.Version}`;
    return `${paint("bold", printable(group.Path))}  (${version})  ${use}`;
  }
  const own = printable(group.Path.slice(above.length + 1));
  if (!Container) return `${paint("cyan", `${own}/`)}  ${use}`;
  const id = whole ? Container.Id : Container.Id.slice(0, 12);
  const image = printable(Container.Image);
  const state = Container.State === "running" ? "" : `  ${paint("yellow", Container.State)}`;
  return `${paint("green", Container.Name)}  ${id}  ${image}${state}  ${use}`;
}

function useText({ Cpu, Memory, Pids, Pressure }: GroupNode["group"]): string[] {
  const parts: string[] = [];
  const used = usedBytes(Memory);
  if (used !== null) parts.push(`mem ${of(humanBinarySize(used), Memory.LimitBytes)}`);
  if (Cpu.LimitCpus !== null) parts.push(`cpus ≤ ${Number(Cpu.LimitCpus.toFixed(2))}`);
  if (Pids.Current !== null) {
    parts.push(`pids ${Pids.Current}${Pids.Limit === null ? "" : ` / ${Pids.Limit}`}`);
  }
  if (Memory.OomKills > 0) parts.push(`oom kills ${Memory.OomKills}`);
  const stalls = Object.entries(Pressure).filter(([, stall]) => (stall?.SomePercent ?? 0) >= 1);
  for (const [name, stall] of stalls) {
    parts.push(`${name.toLowerCase()} pressure ${stall!.SomePercent.toFixed(0)} %`);
  }
  return parts;
}

function of(used: string, limit: number | null): string {
  return limit === null ? used : `${used} / ${humanBinarySize(limit)}`;
}
