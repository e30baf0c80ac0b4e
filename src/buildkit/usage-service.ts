// What the build cache takes and what may go: Control.DiskUsage and Control.Prune.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { CachePruneOptions } from "../engine/index.ts";
import type { control } from "../gen/buildkit/index.ts";
import type { ServicePlace } from "./make-job.ts";
import { type Fields, recordFilter } from "./record-filter.ts";

type UsageRecord = MessageInitShape<typeof control.UsageRecordSchema>;

const NS_PER_MS = 1_000_000n;

/** A row of `system df`. */
interface Usage {
  ID: string;
  Parents: readonly string[] | null;
  Type: string;
  Description: string;
  InUse: boolean;
  Shared: boolean;
  Size: number;
  CreatedAt: string;
  LastUsedAt: string | null;
  UsageCount: number;
}

export function usageService(
  place: ServicePlace,
): Pick<ServiceImpl<typeof control.Control>, "diskUsage" | "prune"> {
  return {
    diskUsage: async ({ filter, ageLimit }, { signal }) => {
      const rows = await matching(place, { filter, ageNs: ageLimit, signal });
      return { record: rows.map(recordOf) };
    },
    prune: async function* (request, { signal }) {
      const { filter, keepDuration } = request;
      const rows = await matching(place, { filter, ageNs: keepDuration, signal });
      const isLimited = filter.length > 0 || keepDuration > 0n;
      if (isLimited && rows.length === 0) return;
      const { deleted } = await place.engine.builds.prune({
        ...limitsOf(request),
        ...(isLimited && { filters: new Map([["id", rows.map(({ ID }) => ID)]]) }),
      });
      const gone = new Set(deleted);
      for (const row of rows) if (gone.has(row.ID)) yield recordOf(row);
    },
  };
}

function limitsOf(request: control.PruneRequest): CachePruneOptions {
  return {
    all: request.all,
    reservedBytes: Number(request.reservedSpace),
    maxUsedBytes: Number(request.maxUsedSpace),
    minFreeBytes: Number(request.minFreeSpace),
  };
}

async function matching(
  { engine }: ServicePlace,
  { filter, ageNs, signal }: { filter: readonly string[]; ageNs: bigint; signal: AbortSignal },
): Promise<Usage[]> {
  const found = await engine.system.df({ types: ["build-cache"], signal });
  const rows = (found["BuildCache"] ?? []) as Usage[];
  const newest = Date.now() - Number(ageNs / NS_PER_MS);
  const matches = recordFilter(filter);
  return rows.filter((row) => {
    const used = Date.parse(row.LastUsedAt ?? row.CreatedAt);
    return (ageNs <= 0n || used <= newest) && matches(fieldsOf(row));
  });
}

/** The fields that BuildKit's filters know. */
function fieldsOf({ ID, Parents, Type, Description, InUse, Shared }: Usage): Fields {
  return {
    ...{ id: ID, type: Type, description: Description },
    parents: (Parents ?? []).join(";"),
    ...presence("inuse", InUse),
    ...presence("shared", Shared),
    ...presence("private", !Shared),
    ...presence("mutable", Type === "exec.cachemount"),
    ...presence("immutable", Type !== "exec.cachemount"),
  };
}

/** A field that is there or is not. */
const presence = (name: string, is: boolean): Fields => (is ? { [name]: "true" } : {});

function recordOf(row: Usage): UsageRecord {
  return {
    ...{ id: row.ID, parents: [...(row.Parents ?? [])], recordType: row.Type },
    ...{ description: row.Description, inUse: row.InUse, shared: row.Shared },
    mutable: row.Type === "exec.cachemount",
    size: BigInt(row.Size),
    usageCount: BigInt(row.UsageCount),
    createdAt: timestampFromMs(Date.parse(row.CreatedAt)),
    ...(row.LastUsedAt && { lastUsedAt: timestampFromMs(Date.parse(row.LastUsedAt)) }),
  };
}
