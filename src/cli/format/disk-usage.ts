// `system df`: how much images, containers and volumes take, and what could be freed.

import { humanDuration, humanSize } from "../../base/index.ts";
import { type ContainerSummary, containerRow } from "./container.ts";
import { type ImageSummary, imageLines, imageRow } from "./image.ts";
import type { RowType } from "./table.ts";
import { alignTabs } from "./tabwriter.ts";

interface VolumeUsage {
  Name: string;
  UsageData?: { Size: number; RefCount: number } | null;
}
export interface DiskUsage {
  LayersSize: number;
  Images: ImageSummary[] | null;
  Containers: ContainerSummary[] | null;
  Volumes: VolumeUsage[] | null;
  BuildCache?: CacheRecord[] | null;
}
interface CacheRecord {
  ID: string;
  Type: string;
  Size: number;
  InUse: boolean;
  Shared: boolean;
  CreatedAt: string;
  LastUsedAt?: string | null;
  UsageCount: number;
}
interface Line {
  type: string;
  total: number;
  active: number;
  size: number;
  reclaimable: number;
  percent: boolean;
}

export function diskUsageLines(usage: DiskUsage): Line[] {
  return [images(usage), containers(usage), volumes(usage), buildCache(usage)];
}

function images({ Images, LayersSize }: DiskUsage): Line {
  const all = Images ?? [];
  const used = all
    .filter(({ Containers }) => Containers !== 0)
    .reduce(
      (sum, { Size, SharedSize }) =>
        Size === -1 || SharedSize === -1 ? sum : sum + Size - SharedSize,
      0,
    );
  const active = all.filter(({ Containers }) => Containers > 0).length;
  return {
    type: "Images",
    total: all.length,
    active,
    size: LayersSize,
    reclaimable: LayersSize - used,
    percent: true,
  };
}

function containers({ Containers }: DiskUsage): Line {
  const all = Containers ?? [];
  const size = (list: ContainerSummary[]) => list.reduce((sum, one) => sum + (one.SizeRw ?? 0), 0);
  const busy = all.filter(({ State }) => /running|paused|restarting/.test(State));
  return {
    type: "Containers",
    total: all.length,
    active: busy.length,
    size: size(all),
    reclaimable: size(all.filter((one) => !busy.includes(one))),
    percent: true,
  };
}

function volumes({ Volumes }: DiskUsage): Line {
  const known = (Volumes ?? []).map(({ UsageData }) => UsageData ?? { Size: 0, RefCount: 0 });
  const size = (list: { Size: number }[]) =>
    list.reduce((sum, { Size }) => sum + Math.max(0, Size), 0);
  return {
    type: "Local Volumes",
    total: known.length,
    active: known.filter(({ RefCount }) => RefCount > 0).length,
    size: size(known),
    reclaimable: size(known.filter(({ RefCount }) => RefCount === 0)),
    percent: true,
  };
}

function buildCache({ BuildCache }: DiskUsage): Line {
  const all = BuildCache ?? [];
  const own = all.filter(({ Shared }) => !Shared);
  const size = own.reduce((sum, { Size }) => sum + Size, 0);
  const used = own.filter(({ InUse }) => InUse).reduce((sum, { Size }) => sum + Size, 0);
  return {
    type: "Build Cache",
    total: all.length,
    active: all.filter(({ InUse }) => InUse).length,
    size,
    reclaimable: size - used,
    percent: false,
  };
}

const column = (header: string, value: (row: Line) => string) => ({ header, value });
export const diskUsageRow: RowType<Line> = {
  goType: "*formatter.diskUsageContext",
  columns: {
    Type: column("TYPE", ({ type }) => type),
    TotalCount: column("TOTAL", ({ total }) => String(total)),
    Active: column("ACTIVE", ({ active }) => String(active)),
    Size: column("SIZE", ({ size }) => humanSize(size)),
    Reclaimable: column("RECLAIMABLE", ({ reclaimable, size, percent }) => {
      const text = humanSize(Math.max(0, reclaimable));
      if (!percent || size <= 0) return text;
      return `${text} (${Math.trunc((Math.max(0, reclaimable) * 100) / size)}%)`;
    }),
  },
};

function table<T>(type: RowType<T>, names: readonly string[], rows: readonly T[]): string {
  const lines = [names.map((name) => type.columns[name]!.header).join("\t")];
  for (const row of rows)
    lines.push(names.map((n) => String(type.columns[n]!.value(row))).join("\t"));
  return `${alignTabs(lines.join("\n"))}\n`;
}

/** Every object, as `system df -v` shows it. */
export function verboseText(usage: DiskUsage): string {
  const image = imageRow(true);
  const container = containerRow(true);
  const ownSize: RowType<ContainerSummary> = {
    ...container,
    columns: {
      ...container.columns,
      Size: { header: "SIZE", value: ({ SizeRw }) => humanSize(SizeRw ?? 0, 3) },
    },
  };
  const volume: RowType<VolumeUsage> = {
    goType: "*formatter.volumeContext",
    columns: {
      Name: { header: "VOLUME NAME", value: ({ Name }) => Name },
      Links: { header: "LINKS", value: ({ UsageData }) => String(UsageData?.RefCount ?? "N/A") },
      Size: {
        header: "SIZE",
        value: ({ UsageData }) => (UsageData ? humanSize(UsageData.Size) : "N/A"),
      },
    },
  };
  const records = [...(usage.BuildCache ?? [])].sort(byLastUse);
  const own = records.filter(({ Shared }) => !Shared);
  const size = own.reduce((sum, one) => sum + one.Size, 0);
  return [
    "Images space usage:\n",
    table(
      image,
      ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"],
      (usage.Images ?? []).flatMap((one) => imageLines([one], true).slice(0, 1)),
    ),
    "Containers space usage:\n",
    table(
      ownSize,
      ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
      usage.Containers ?? [],
    ),
    "Local Volumes space usage:\n",
    table(volume, ["Name", "Links", "Size"], usage.Volumes ?? []),
    `Build cache usage: ${humanSize(size)}\n`,
    table(cacheRecordRow, Object.keys(cacheRecordRow.columns), records).trimEnd(),
    "",
  ].join("\n");
}

const SHORT_ID_CHARS = 12;

/** What was not used for longest comes first. */
function byLastUse(a: CacheRecord, b: CacheRecord): number {
  const [one, other] = [Date.parse(a.LastUsedAt ?? "") || 0, Date.parse(b.LastUsedAt ?? "") || 0];
  return one - other || (a.ID < b.ID ? -1 : 1);
}

const ago = (text: string | null | undefined): string =>
  text ? `${humanDuration(Date.now() - Date.parse(text))} ago` : "";
const cacheColumn = (header: string, value: (row: CacheRecord) => string) => ({ header, value });
const cacheRecordRow: RowType<CacheRecord> = {
  goType: "*formatter.buildCacheContext",
  columns: {
    ID: cacheColumn("CACHE ID", ({ ID }) => ID.slice(0, SHORT_ID_CHARS)),
    CacheType: cacheColumn("CACHE TYPE", ({ Type }) => Type),
    Size: cacheColumn("SIZE", ({ Size }) => humanSize(Size, 3)),
    CreatedSince: cacheColumn("CREATED", ({ CreatedAt }) => ago(CreatedAt)),
    LastUsedSince: cacheColumn("LAST USED", ({ LastUsedAt }) => ago(LastUsedAt)),
    UsageCount: cacheColumn("USAGE", ({ UsageCount }) => String(UsageCount)),
    Shared: cacheColumn("SHARED", ({ Shared }) => String(Shared)),
  },
};
