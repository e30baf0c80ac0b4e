import { GantryError, humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, type Filters, filterFlag } from "../../flags/filters.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { announceStep, dryRunFlag, type PruneKind, printPlan } from "../prune-preview.ts";

interface Wanted {
  all: boolean;
  volumes: boolean;
  filter: Filters;
}
interface Step {
  kind: PruneKind;
  path: string;
  title: string;
  /** The answer's member that lists what went. */
  list: string;
  query?: Record<string, boolean | undefined>;
  filters?: Filters;
}

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove unused data",
  args: { min: 0, max: 0 },
  flags: {
    all: {
      type: "bool",
      shorthand: "a",
      usage: "Remove every unused image, not only dangling ones",
    },
    "dry-run": dryRunFlag,
    filter: filterFlag('Remove only what matches (such as "label=<key>=<value>")'),
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
    volumes: { type: "bool", usage: "Remove anonymous volumes too" },
  },
  async run(session, { values }) {
    const { all, volumes, filter, force } = values;
    if (volumes && filter["until"] !== undefined) {
      const message = 'ERROR: The "until" filter is not supported with "--volumes"';
      throw new GantryError("invalid", message);
    }
    const wanted = { all, volumes, filter };
    const steps = stepsOf(wanted);
    if (values["dry-run"]) {
      return await printPlan(session, {
        kinds: steps.map(({ kind }) => kind),
        all,
        filters: filter,
      });
    }
    if (!force && !(await confirm(session, warningOf(wanted)))) return 1;
    let total = 0;
    for (const step of steps) total += await runStep(session, step, wanted);
    session.print(`Total reclaimed space: ${humanSize(total)}`);
    return 0;
  },
});
export default command;

function warningOf({ all, volumes, filter }: Wanted): string {
  const what = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? "all images without at least one container associated to them" : "all dangling images",
    all ? "all build cache" : "unused build cache",
  ];
  const items = (list: readonly string[]): string => list.map((one) => `  - ${one}\n`).join("");
  const filters = Object.entries(filter).flatMap(([name, texts]) =>
    texts.map((text) => `${name}=${text}`),
  );
  const filtered =
    filters.length === 0
      ? ""
      : `\n  Items to be pruned will be filtered with:\n${items(filters.sort())}`;
  const question = "Are you sure you want to continue?";
  return `WARNING! This will remove:\n${items(what)}${filtered}\n${question}`;
}

/** In this order: what stopped containers have used is free afterwards. */
function stepsOf({ all, volumes, filter }: Wanted): Step[] {
  const volume: Step = {
    ...{ kind: "volume", path: "/volumes/prune" },
    ...{ title: "Deleted Volumes", list: "VolumesDeleted" },
  };
  return [
    {
      ...{ kind: "container", path: "/containers/prune" },
      ...{ title: "Deleted Containers", list: "ContainersDeleted" },
    },
    {
      ...{ kind: "network", path: "/networks/prune" },
      ...{ title: "Deleted Networks", list: "NetworksDeleted" },
    },
    ...(volumes ? [volume] : []),
    {
      ...{ kind: "image", path: "/images/prune", filters: { ...filter, dangling: [String(!all)] } },
      ...{ title: "Deleted Images", list: "ImagesDeleted" },
    },
    {
      ...{ kind: "build-cache", path: "/build/prune", query: { all: all || undefined } },
      ...{ title: "Deleted build cache objects", list: "CachesDeleted" },
    },
  ];
}

/** Prints what went and returns the bytes that it has freed. */
async function runStep(session: Session, step: Step, { all, filter }: Wanted): Promise<number> {
  const client = await session.client();
  const { kind, path, title, list, query = {}, filters = filter } = step;
  const done = await announceStep(session, { kinds: [kind], all, filters: filter });
  const answer = await client
    .json<Record<string, unknown>>("POST", path, {
      query: { ...query, filters: encodeFilters(filters) },
    })
    .finally(done);
  const names = (answer[list] ?? []) as (string | { Untagged?: string; Deleted?: string })[];
  const lines = names.map((one) => {
    if (typeof one === "string") return one;
    return one.Untagged ? `untagged: ${one.Untagged}` : `deleted: ${one.Deleted}`;
  });
  if (lines.length > 0) session.print(`${title}:\n${lines.join("\n")}\n`);
  return Number(answer["SpaceReclaimed"] ?? 0);
}
