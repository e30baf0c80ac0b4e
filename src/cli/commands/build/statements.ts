// How a build was made, from the daemon's record of it: what --metadata-file and
// `history inspect attachment` show.

import type { Builder } from "./builder.ts";
import { type HistoryRecord, readHistory } from "./history-records.ts";

export interface Statement {
  /** "" where the build is for one platform. */
  platform: string;
  predicateType: string;
  digest: string;
}

const PROVENANCE = "https://slsa.dev/provenance/";

/** By platform. */
export function statementsOf({ result, results }: HistoryRecord): Statement[] {
  const all = [...(result ? [["", result] as const] : []), ...Object.entries(results)];
  const found = all.flatMap(([platform, { attestations }]) =>
    attestations.map(({ digest, annotations }) => ({
      ...{ platform, digest },
      predicateType: annotations["in-toto.io/predicate-type"] ?? "",
    })),
  );
  return found.sort((a, b) => (a.platform < b.platform ? -1 : 1));
}

/** buildx's keys of --metadata-file: "buildx.build.provenance" and for several platforms
 * "buildx.build.provenance/linux/arm64". BUILDX_METADATA_PROVENANCE says how much: "min" (the
 * default), "max" or "disabled". */
export async function provenanceMetadata(
  builder: Builder,
  ref: string,
  { mode, signal }: { mode: string | undefined; signal: AbortSignal },
): Promise<Record<string, unknown>> {
  const wanted = provenanceMode(mode);
  if (wanted === "disabled") return {};
  const [record] = await readHistory(builder, { signal, ref });
  const out: Record<string, unknown> = {};
  for (const { platform, predicateType, digest } of record ? statementsOf(record) : []) {
    if (!predicateType.startsWith(PROVENANCE)) continue;
    const text = Buffer.concat(await Array.fromAsync(builder.content(digest, { signal })));
    const predicate = JSON.parse(text.toString("utf8")) as Record<string, unknown>;
    const shown = wanted === "max" ? predicate : withoutSteps(predicate);
    out[`buildx.build.provenance${platform && `/${platform}`}`] = shown;
  }
  return out;
}

function withoutSteps(predicate: Record<string, unknown>): Record<string, unknown> {
  const { buildConfig: _steps, metadata: _times, ...rest } = predicate;
  return rest;
}

function provenanceMode(text: string | undefined): "min" | "max" | "disabled" {
  if (text === "max" || text === "disabled") return text;
  return /^(0|f|false)$/i.test(text ?? "") ? "disabled" : "min";
}
