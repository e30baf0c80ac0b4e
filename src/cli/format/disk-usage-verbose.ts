// `system df -v`: every image, container, volume and build cache record with its size, as tables
// for people, and as one value for templates and json.

import { humanDuration, humanSize } from "../../base/index.ts";
import { ClosedStruct } from "./closed-struct.ts";
import { type ContainerSummary, containerRow } from "./container.ts";
import type { CacheRecord, DiskUsage, VolumeUsage } from "./disk-usage.ts";
import { imageLines, imageRow } from "./image.ts";
import { Row, type RowType } from "./table.ts";
import { alignTabs } from "./tabwriter.ts";
import { joinPairs } from "./text.ts";

function table<T>(type: RowType<T>, names: readonly string[], rows: readonly T[]): string {
  const lines = [names.map((name) => type.columns[name]!.header).join("\t")];
  for (const row of rows)
    lines.push(names.map((n) => String(type.columns[n]!.value(row))).join("\t"));
  return `${alignTabs(lines.join("\n"))}\n`;
}

/** An image is shown by its first name. */
function firstLines({ Images }: DiskUsage) {
  const first = (Images ?? []).flatMap((one) => imageLines([one], false).slice(0, 1));
  return first.map((line) => ({ ...line, digest: "" }));
}

function sizedContainer(truncate: boolean): RowType<ContainerSummary> {
  const row = containerRow(truncate);
  const value = ({ SizeRw }: ContainerSummary) => humanSize(SizeRw ?? 0, 3);
  return { ...row, columns: { ...row.columns, Size: { header: "SIZE", value } } };
}

const volumeColumn = (header: string, value: (row: VolumeUsage) => string) => ({ header, value });
const volumeRow: RowType<VolumeUsage> = {
  goType: "*formatter.volumeContext",
  columns: {
    Name: volumeColumn("VOLUME NAME", ({ Name }) => Name),
    Driver: volumeColumn("DRIVER", ({ Driver }) => Driver ?? ""),
    Scope: volumeColumn("SCOPE", ({ Scope }) => Scope ?? ""),
    Mountpoint: volumeColumn("MOUNTPOINT", ({ Mountpoint }) => Mountpoint ?? ""),
    Labels: volumeColumn("LABELS", ({ Labels }) => joinPairs(Labels)),
    Links: volumeColumn("LINKS", ({ UsageData }) => String(UsageData?.RefCount ?? "N/A")),
    Size: volumeColumn("SIZE", ({ UsageData }) => (UsageData ? humanSize(UsageData.Size) : "N/A")),
    Availability: volumeColumn("AVAILABILITY", () => "N/A"),
    Group: volumeColumn("GROUP", () => "N/A"),
    Status: volumeColumn("STATUS", () => "N/A"),
  },
};

/** Every object, as tables. */
export function verboseText(usage: DiskUsage): string {
  const records = sortedRecords(usage);
  const own = records.filter(({ Shared }) => !Shared);
  const size = own.reduce((sum, one) => sum + one.Size, 0);
  return [
    "Images space usage:\n",
    table(
      imageRow(true),
      ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"],
      firstLines(usage),
    ),
    "Containers space usage:\n",
    table(
      sizedContainer(true),
      ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
      usage.Containers ?? [],
    ),
    "Local Volumes space usage:\n",
    table(volumeRow, ["Name", "Links", "Size"], usage.Volumes ?? []),
    `Build cache usage: ${humanSize(size)}\n`,
    table(cacheRow, CACHE_COLUMNS, records).trimEnd(),
    ...logsText(usage),
    "",
  ].join("\n");
}

/** Only our daemon says. */
function logsText({ LogUsage }: DiskUsage): string[] {
  if (!LogUsage) return [];
  const { TotalSize, Budget } = LogUsage;
  const limit = Budget > 0 ? `of ${humanSize(Budget)} (log-budget)` : "without a log-budget";
  return ["", `Logs usage: ${humanSize(TotalSize)} ${limit}`];
}

const SHORT_ID_CHARS = 12;

function sortedRecords({ BuildCache }: DiskUsage): CacheRecord[] {
  return [...(BuildCache ?? [])].sort(byLastUse);
}

/** What was not used for longest comes first. */
function byLastUse(a: CacheRecord, b: CacheRecord): number {
  const [one, other] = [Date.parse(a.LastUsedAt ?? "") || 0, Date.parse(b.LastUsedAt ?? "") || 0];
  return one - other || (a.ID < b.ID ? -1 : 1);
}

const ago = (text: string | null | undefined): string =>
  text ? `${humanDuration(Date.now() - Date.parse(text))} ago` : "";
const cacheColumn = (header: string, value: (row: CacheRecord) => string) => ({ header, value });
const CACHE_COLUMNS = [
  ...["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"],
];
const cacheRow = cacheRecordRow(true);

function cacheRecordRow(truncate: boolean): RowType<CacheRecord> {
  return {
    goType: "*formatter.buildCacheContext",
    columns: {
      ID: cacheColumn("CACHE ID", ({ ID }) => (truncate ? ID.slice(0, SHORT_ID_CHARS) : ID)),
      Parent: cacheColumn("PARENT", ({ Parents }) => Parents?.at(0) ?? ""),
      CacheType: cacheColumn("CACHE TYPE", ({ Type }) => Type),
      Description: cacheColumn("DESCRIPTION", ({ Description }) => Description ?? ""),
      InUse: cacheColumn("IN USE", ({ InUse }) => String(InUse)),
      Size: cacheColumn("SIZE", ({ Size }) => humanSize(Size, 3)),
      CreatedAt: cacheColumn("CREATED AT", ({ CreatedAt }) => CreatedAt),
      CreatedSince: cacheColumn("CREATED", ({ CreatedAt }) => ago(CreatedAt)),
      LastUsedAt: cacheColumn("LAST USED AT", ({ LastUsedAt }) => LastUsedAt ?? ""),
      LastUsedSince: cacheColumn("LAST USED", ({ LastUsedAt }) => ago(LastUsedAt)),
      UsageCount: cacheColumn("USAGE", ({ UsageCount }) => String(UsageCount)),
      Shared: cacheColumn("SHARED", ({ Shared }) => String(Shared)),
    },
  };
}

/** The same as one value: lists of rows that nothing is cut in. */
export function verboseValue(usage: DiskUsage): ClosedStruct {
  const rows = <T>(type: RowType<T>, all: readonly T[]) => all.map((one) => new Row(type, one));
  return new ClosedStruct("*formatter.diskUsageContext", {
    Images: rows(imageRow(false), firstLines(usage)),
    Containers: rows(sizedContainer(false), usage.Containers ?? []),
    Volumes: rows(volumeRow, usage.Volumes ?? []),
    BuildCache: rows(cacheRecordRow(false), sortedRecords(usage)),
  });
}
