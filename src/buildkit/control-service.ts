// moby.buildkit.v1.Control: what a client drives builds with.

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { GantryError } from "../base/index.ts";
import type { BuildJob } from "../engine/index.ts";
import type { control } from "../gen/buildkit/index.ts";
import { historyService } from "./history-service.ts";
import { makeJob, outputsOf, type ServicePlace, sessionOf } from "./make-job.ts";
import { Solve } from "./solves.ts";
import { statusOf } from "./status.ts";
import { tunnel } from "./tunnel.ts";
import { usageService } from "./usage-service.ts";
import { buildkitVersion, workerRecord } from "./worker-record.ts";

export function controlService(place: ServicePlace): ServiceImpl<typeof control.Control> {
  return {
    solve: (request, context) => solve(place, request, context),
    status: ({ ref }, { signal }) => statusOf(place, ref, signal),
    session: (messages, { requestHeader }) => {
      const facts = place.sessions.facts((name) =>
        (requestHeader.get(name) ?? "").split(",").map((value) => value.trim()),
      );
      return tunnel(messages, (socket) => place.sessions.serve(socket, facts));
    },
    listWorkers: async () => ({ record: [await workerRecord(place)] }),
    info: () => ({ buildkitVersion: buildkitVersion(place) }),
    ...usageService(place),
    ...historyService(place),
  };
}

async function solve(
  place: ServicePlace,
  request: control.SolveRequest,
  context: HandlerContext,
): Promise<{ exporterResponse: Record<string, string> }> {
  refuseDefinition(request);
  const entry = new Solve(request, context.signal);
  const exporterResponse = await place.solves.run(entry, async () => {
    const session = await sessionOf(place, entry);
    const signal = session ? AbortSignal.any([context.signal, session.closed]) : context.signal;
    if (request.frontend !== "") return await direct(place, entry, signal);
    const result = await aborted(entry.returned.promise, signal);
    return result ? await build(place, entry, result.job, signal) : {};
  });
  return { exporterResponse };
}

/** The client names the front end: one call is one build. */
async function direct(
  place: ServicePlace,
  entry: Solve,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const { request } = entry;
  const question = {
    ...{ frontend: request.frontend, attributes: request.frontendAttrs },
    ...{ inputs: request.frontendInputs, cacheImports: [] },
    policies: request.sourcePolicy ? [request.sourcePolicy] : [],
  };
  const job = await makeJob(place, entry, question);
  const subrequest = request.frontendAttrs["requestid"];
  if (subrequest) return { ...(await place.engine.builds.subrequest(subrequest, job, { signal })) };
  return await build(place, entry, job, signal);
}

async function build(
  { engine }: ServicePlace,
  entry: Solve,
  job: BuildJob,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  entry.hasBegun = true;
  const outputs = outputsOf(entry.request);
  const { metadata } = await engine.builds.solve({ ...job, outputs }, { signal });
  return { ...metadata };
}

function refuseDefinition({ definition, enableSessionExporter }: control.SolveRequest): void {
  if (definition && definition.def.length > 0) {
    throw new GantryError(
      "not-implemented",
      "building from a definition (LLB) is not supported: send a Dockerfile to the front end",
    );
  }
  if (enableSessionExporter) {
    throw new GantryError("not-implemented", "exporters of a session are not supported");
  }
}

function aborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
