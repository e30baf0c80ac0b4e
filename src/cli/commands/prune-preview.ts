// What a prune would remove: --dry-run prints it, and on a terminal it says what is going on while
// much is removed. Asked for at an address of Gantry's own, and with GET: a daemon that does not
// know it removes nothing by mistake.

import { GantryError, humanSize } from "../../base/index.ts";
import { encodeFilters, type Filters } from "../flags/filters.ts";
import { alignTabs } from "../format/tabwriter.ts";
import type { Session } from "../session.ts";

export type PruneKind = "container" | "network" | "volume" | "image" | "build-cache";
interface PlannedItem {
  Kind: PruneKind;
  ID: string;
  Name: string;
  Size: number;
}
interface Plan {
  Items: PlannedItem[];
  SpaceReclaimed: number;
}
export interface PreviewRequest {
  kinds: readonly PruneKind[];
  all?: boolean;
  filters: Filters;
  /** Of the build cache: how much may stay, in bytes by docker's names. */
  space?: Record<string, number>;
}

export const dryRunFlag = {
  type: "bool",
  usage: "Print what would be removed, and remove nothing",
} as const;

const SHORT_ID_CHARS = 12;

async function plan(
  session: Session,
  { kinds, all, filters, space }: PreviewRequest,
): Promise<Plan> {
  const client = await session.client();
  const query = { kind: [...kinds], all: all || undefined, filters: encodeFilters(filters) };
  return await client.json<Plan>("GET", "/gantry/prune", { query: { ...query, ...space } });
}

/** Prints what would go, with sizes. */
export async function printPlan(session: Session, request: PreviewRequest): Promise<number> {
  const { Items, SpaceReclaimed } = await plan(session, request).catch((cause: unknown) => {
    if (!(cause instanceof GantryError) || cause.kind !== "not-found") throw cause;
    throw new GantryError("not-implemented", "--dry-run needs a Gantry daemon", { cause });
  });
  const rows = Items.map(({ Kind, ID, Name, Size }) => {
    const id = ID.replace(/^sha256:/, "");
    const short = Kind === "volume" ? "" : id.slice(0, SHORT_ID_CHARS);
    return [Kind, short, Name, humanSize(Size)].join("\t");
  });
  if (rows.length > 0) session.print(alignTabs(["TYPE\tID\tNAME\tSIZE", ...rows].join("\n")));
  session.print(`Would reclaim: ${humanSize(SpaceReclaimed)} (nothing was removed)`);
  return 0;
}

/** Says on a terminal what one step is about to remove; returns what takes the line away again. */
export async function announceStep(session: Session, request: PreviewRequest): Promise<() => void> {
  const { stderr } = session.io;
  if (!stderr.isTerminal) return () => {};
  const found = await plan(session, request).catch(() => undefined);
  if (!found || found.Items.length === 0) return () => {};
  const what = `${found.Items.length} × ${request.kinds.join(", ")}`;
  stderr.write(`Removing ${what} (${humanSize(found.SpaceReclaimed)}) …`);
  return () => stderr.write("\r\x1b[K");
}
