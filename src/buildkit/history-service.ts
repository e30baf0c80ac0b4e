// The history of builds: Control.ListenBuildHistory and UpdateBuildHistory.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { GantryError } from "../base/index.ts";
import type { BuildRecord, BuildStatement, HistoryEvent } from "../engine/index.ts";
import { control } from "../gen/buildkit/index.ts";
import type { ServicePlace } from "./make-job.ts";
import { type Fields, recordFilter } from "./record-filter.ts";

const { BuildHistoryEventType } = control;
const TYPES = {
  started: BuildHistoryEventType.STARTED,
  complete: BuildHistoryEventType.COMPLETE,
  deleted: BuildHistoryEventType.DELETED,
};
const IN_TOTO = "application/vnd.in-toto+json";
const CANCELLED = 1;
const UNKNOWN = 2;

type Record = MessageInitShape<typeof control.BuildHistoryRecordSchema>;

export function historyService(
  place: ServicePlace,
): Pick<ServiceImpl<typeof control.Control>, "listenBuildHistory" | "updateBuildHistory"> {
  const { builds } = place.engine;
  return {
    listenBuildHistory: async function* (request, { signal }) {
      const { activeOnly, earlyExit, ref, limit } = request;
      const matches = recordFilter(request.filter);
      const wanted = ({ record }: HistoryEvent) =>
        (ref === "" || record.ref === ref) && matches(fieldsOf(record));
      if (earlyExit) {
        const all = await collected(builds.history.listen({ signal, activeOnly, once: true }));
        const found = all.filter(wanted);
        for (const event of limit > 0 ? found.slice(-limit) : found) yield eventOf(event);
        return;
      }
      for await (const event of builds.history.listen({ signal, activeOnly })) {
        if (wanted(event)) yield eventOf(event);
      }
    },
    updateBuildHistory: async ({ ref, pinned, delete: isDeleted, finalize }) => {
      if (finalize) {
        throw new GantryError("not-implemented", "traces of builds are not recorded");
      }
      if (isDeleted) await builds.history.remove(ref);
      else builds.history.pin(ref, pinned);
      return {};
    },
  };
}

async function collected<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function eventOf({ kind, record }: HistoryEvent) {
  return { type: TYPES[kind], record: recordOf(record) };
}

function recordOf(build: BuildRecord): Record {
  const { ref, attrs, status, error, metadata, pinned } = build;
  const code = status === "cancelled" ? CANCELLED : UNKNOWN;
  return {
    ...{ ref, frontend: "dockerfile.v0", frontendAttrs: { ...attrs } },
    ...{ exporterResponse: { ...metadata }, pinned },
    createdAt: timestampFromMs(build.startedAtMs),
    ...(build.completedAtMs && { completedAt: timestampFromMs(build.completedAtMs) }),
    ...(error !== undefined && { error: { code, message: error } }),
    ...resultsOf(build.statements ?? []),
    numTotalSteps: build.stepsTotal,
    numCompletedSteps: build.stepsCompleted,
    numCachedSteps: build.stepsCached,
    numWarnings: build.warnings,
  };
}

/** Where the provenance is found by digest (content-service.ts), for all or by platform. */
function resultsOf(statements: readonly BuildStatement[]): Pick<Record, "result" | "results"> {
  const told = ({ digest, size, predicateType }: BuildStatement) => ({
    attestations: [
      {
        ...{ mediaType: IN_TOTO, digest, size: BigInt(size) },
        annotations: { "in-toto.io/predicate-type": predicateType },
      },
    ],
  });
  const only = statements.find(({ platform }) => platform === undefined);
  if (only) return { result: told(only) };
  return {
    results: Object.fromEntries(statements.map((one) => [one.platform ?? "", told(one)])),
  };
}

/** The fields that BuildKit's filters know. */
function fieldsOf({ ref, status, attrs, startedAtMs, completedAtMs }: BuildRecord): Fields {
  const repository = attrs["vcs:source"] ?? attrs["context"];
  const shown = status === "failed" ? "error" : status === "cancelled" ? "canceled" : status;
  return {
    ...{ ref, status: shown, startedAt: new Date(startedAtMs).toISOString() },
    ...(completedAtMs && { completedAt: new Date(completedAtMs).toISOString() }),
    ...(repository !== undefined && { repository }),
  };
}
