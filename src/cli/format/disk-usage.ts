// `system df`: how much images, containers and volumes take, and what could be freed.

import { humanSize } from "../../base/index.ts";
import type { ContainerSummary } from "./container.ts";
import type { ImageSummary } from "./image.ts";
import type { RowType } from "./table.ts";

export interface VolumeUsage {
  Name: string;
  Driver?: string;
  Scope?: string;
  Mountpoint?: string;
  Labels?: Record<string, string> | null;
  UsageData?: { Size: number; RefCount: number } | null;
}
export interface DiskUsage {
  LayersSize: number;
  Images: ImageSummary[] | null;
  Containers: ContainerSummary[] | null;
  Volumes: VolumeUsage[] | null;
  BuildCache?: CacheRecord[] | null;
  LogUsage?: { TotalSize: number; Budget: number };
}
export interface CacheRecord {
  ID: string;
  Parents?: string[] | null;
  Description?: string;
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
