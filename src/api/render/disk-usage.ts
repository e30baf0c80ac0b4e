// GET /system/df: the lists of API < 1.52, the sums per kind of object since, or both when a newer
// client does not say which it wants (`verbose`).

import type { Container, Image, Volume } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import { renderContainerSummary } from "./container-summary.ts";
import { renderImageSummary } from "./image.ts";

/** What the engine's df answers: a list is missing when it was not asked for. */
interface DiskUsage {
  LayersSize?: number;
  Images?: Image[];
  Containers?: Container[];
  Volumes?: Volume[];
  BuildCache?: unknown[];
  LogUsage?: { TotalSize: number; Budget: number };
}

export function renderDiskUsage(
  answer: Record<string, unknown>,
  version: ApiVersion,
  verbose: string | undefined,
): Record<string, unknown> {
  const usage = answer as DiskUsage;
  const absent = version.below("1.52") ? null : undefined;
  const lists = {
    Images:
      usage.Images?.map((image) => ({
        ...renderImageSummary(image, version),
        Containers: image.containers,
      })) ?? absent,
    Containers:
      usage.Containers?.map((container) => renderContainerSummary(container, version)) ?? absent,
    Volumes: usage.Volumes ?? absent,
    BuildCache: usage.BuildCache ?? absent,
  };
  // Ours: the logs of all containers beside the host's budget for them.
  const logs = usage.LogUsage && { LogUsage: usage.LogUsage };
  const legacy = { LayersSize: usage.LayersSize ?? 0, ...lists };
  if (version.below("1.42")) return { ...legacy, BuilderSize: 0, ...logs };
  if (version.below("1.52")) return { ...legacy, ...logs };
  const asked = verbose !== undefined && verbose !== "";
  const withItems = asked && !["0", "f", "false", "F", "FALSE", "False"].includes(verbose);
  const sums = {
    ImageUsage: usage.Images && withList(imageSums(usage, usage.Images), lists.Images, withItems),
    ContainerUsage:
      usage.Containers && withList(containerSums(usage.Containers), lists.Containers, withItems),
    VolumeUsage: usage.Volumes && withList(volumeSums(usage.Volumes), lists.Volumes, withItems),
    BuildCacheUsage:
      usage.BuildCache &&
      withList(
        sumsOf([], () => 0),
        lists.BuildCache,
        withItems,
      ),
  };
  return asked ? { ...sums, ...logs } : { ...legacy, ...sums, ...logs };
}

interface Sums {
  ActiveCount: number;
  TotalCount: number;
  Reclaimable: number;
  TotalSize: number;
}

function withList(sums: Sums, items: unknown[] | null | undefined, verbose: boolean): object {
  return verbose ? { ...sums, Items: items } : sums;
}

/** `bytes` of an item, and whether it is in use. */
function sumsOf<T>(
  items: readonly T[],
  bytes: (item: T) => number,
  isActive: (item: T) => boolean = () => true,
): Sums {
  const total = (some: readonly T[]): number => some.reduce((sum, item) => sum + bytes(item), 0);
  const idle = items.filter((item) => !isActive(item));
  return {
    ActiveCount: items.length - idle.length,
    TotalCount: items.length,
    Reclaimable: total(idle),
    TotalSize: total(items),
  };
}

/** Images share layers: their total is that of the layers. */
function imageSums({ LayersSize = 0 }: DiskUsage, images: readonly Image[]): Sums {
  const own = ({ size, sharedSize }: Image): number => size - Math.max(0, sharedSize);
  const sums = sumsOf(images, own, ({ containers }) => containers > 0);
  return { ...sums, TotalSize: LayersSize };
}

function containerSums(containers: readonly Container[]): Sums {
  const isActive = ({ state }: Container): boolean => state.Running || state.Paused;
  return sumsOf(containers, ({ sizes }) => sizes?.rw ?? 0, isActive);
}

function volumeSums(volumes: readonly Volume[]): Sums {
  const bytes = ({ UsageData }: Volume): number => Math.max(0, UsageData?.Size ?? 0);
  return sumsOf(volumes, bytes, ({ UsageData }) => (UsageData?.RefCount ?? 0) > 0);
}
