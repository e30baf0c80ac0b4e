// moby.buildkit.v1.frontend.LLBBridge for clients that are their own front end, as `docker buildx`
// is: it asks for a build by the Dockerfile front end and returns the result. A result is a
// promise: the build runs when the client returns it, in its Control.Solve, or evaluates it.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { GantryError } from "../base/index.ts";
import type { BuildJob } from "../engine/index.ts";
import type { gateway } from "../gen/buildkit/index.ts";
import { codeError } from "../wire/index.ts";
import { frontEndCaps, llbCaps } from "./capabilities.ts";
import { cacheImportsOf, makeJob, type ServicePlace } from "./make-job.ts";
import { writeMarker } from "./result-marker.ts";
import type { Result, Solve } from "./solves.ts";
import { workerRecord } from "./worker-record.ts";

const BUILD_ID = "buildkit-controlapi-buildid";

type Answer = MessageInitShape<typeof gateway.SolveResponseSchema>;

export function bridgeService(place: ServicePlace): ServiceImpl<typeof gateway.LLBBridge> {
  const solveOf = async ({ requestHeader, signal }: HandlerContext): Promise<Solve> => {
    const ref = requestHeader.get(BUILD_ID);
    if (ref) return await place.solves.get(ref, { signal });
    throw new GantryError("invalid", "no buildid found in context");
  };
  return {
    ping: async (_request, context) => {
      await solveOf(context);
      const workers = [await workerRecord(place)];
      return { frontendApiCaps: frontEndCaps, llbCaps, workers };
    },
    solve: async (request, context) => await solve(place, await solveOf(context), request, context),
    evaluate: async ({ ref }, context) => {
      const entry = await solveOf(context);
      await evaluate(place, entry, find(entry, ref).job, context.signal);
      return {};
    },
    return: async ({ result, error }, context) => {
      const entry = await solveOf(context);
      if (error && error.code !== 0) {
        entry.returned.reject(codeError(error.code, error.message));
        return {};
      }
      const id = result && refOf(result);
      entry.returned.resolve(id ? find(entry, id) : undefined);
      return {};
    },
    inputs: () => ({ definitions: {} }),
    ...refusals(),
  };
}

async function solve(
  place: ServicePlace,
  entry: Solve,
  request: gateway.SolveRequest,
  context: HandlerContext,
): Promise<Answer> {
  if (request.definition && request.definition.def.length > 0) {
    throw refusal("building from a definition (LLB)");
  }
  if (request.final || request.exporterAttr.length > 0) throw refusal("a final Solve");
  const question = {
    ...{ frontend: request.frontend, attributes: request.frontendOpt },
    ...{ inputs: request.frontendInputs, policies: request.sourcePolicies },
    cacheImports: cacheImportsOf(request.cacheImports),
  };
  const job = await makeJob(place, entry, question);
  const subrequest = request.frontendOpt["requestid"];
  if (subrequest) {
    const { builds } = place.engine;
    const metadata = await builds.subrequest(subrequest, job, { signal: context.signal });
    return { result: { metadata: bytesOf(metadata) } };
  }
  if (request.evaluate) await evaluate(place, entry, job, context.signal);
  const id = entry.add({ job });
  if (!request.allowResultReturn) return { ref: id };
  const ref = { id, def: writeMarker(id) };
  return { ref: id, result: { result: { case: "ref", value: ref } } };
}

/** Runs the steps; what comes out stays in the cache for when the result is returned. */
async function evaluate(
  { engine }: ServicePlace,
  entry: Solve,
  job: BuildJob,
  signal: AbortSignal,
): Promise<void> {
  entry.hasBegun = true;
  const signals = AbortSignal.any([signal, entry.signal]);
  await engine.builds.solve({ ...job, cacheTo: [], outputs: [] }, { signal: signals });
}

function find(entry: Solve, id: string): Result {
  const found = entry.result(id);
  if (found) return found;
  throw new GantryError("not-found", `no such ref ${id}`);
}

/** The one result that there is: a build of several platforms is one result too. */
function refOf({ result }: gateway.Result): string | undefined {
  switch (result.case) {
    case "ref":
      return result.value.id;
    case "refId":
      return result.value;
    case "refs":
    case "refIds":
      throw refusal("returning several results");
    default:
      return undefined;
  }
}

function bytesOf(metadata: Readonly<Record<string, string>>): Record<string, Buffer<ArrayBuffer>> {
  const entries = Object.entries(metadata).map(([key, value]) => [key, Buffer.from(value)]);
  return Object.fromEntries(entries) as Record<string, Buffer<ArrayBuffer>>;
}

const refusal = (what: string): GantryError =>
  new GantryError("not-implemented", `${what} is not supported: Gantry builds Dockerfiles only`);

/** What works on low-level definitions or in their containers. */
function refusals() {
  const refuse = (what: string) => (): never => {
    throw refusal(what);
  };
  return {
    resolveImageConfig: refuse("resolving an image for a client's front end"),
    resolveSourceMeta: refuse("resolving a source for a client's front end"),
    readFile: refuse("reading a file of a result"),
    readDir: refuse("reading a folder of a result"),
    statFile: refuse("looking at a file of a result"),
    newContainer: refuse("a container in a result"),
    releaseContainer: refuse("a container in a result"),
    execProcess: refuse("a process in a result"),
    warn: refuse("a front end's own warning"),
  };
}
