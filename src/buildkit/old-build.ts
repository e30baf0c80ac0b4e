// BuildKit over `POST /build` (version 2), as clients before buildx and some libraries ask for it:
// the context in the body, at an address or in a session; the progress as BuildKit's status
// messages in docker's stream of JSON.

import type { Readable } from "node:stream";
import { create, toBinary } from "@bufbuild/protobuf";
import type { BuildJob, ContextSource, Credentials, OutputRequest } from "../engine/index.ts";
import { control } from "../gen/buildkit/index.ts";
import type { Attributes } from "./job-attributes.ts";
import { HUB_HOSTS, makeJob, type ServicePlace } from "./make-job.ts";
import { Solve } from "./solves.ts";
import { statusOf } from "./status.ts";

export interface OldBuildRequest extends Pick<BuildJob, "hostConfig"> {
  ref: string;
  /** "" for none. */
  session: string;
  /** As a front end takes them. */
  attributes: Attributes;
  outputs: readonly OutputRequest[];
  /** By registry host, as docker's config file names them; used where there is no session. */
  credentials: Readonly<Record<string, Credentials>>;
  /** Absent: the attributes or the session say where the context is. */
  body?: Readable;
}

/** Yields docker's messages; the last names the image. */
export async function* oldBuild(
  place: ServicePlace,
  request: OldBuildRequest,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<Record<string, unknown>> {
  const { ref, session, hostConfig } = request;
  // Who asks for the host's network for the build has allowed it to the steps.
  const entitlements = hostConfig.NetworkMode === "host" ? ["network.host"] : [];
  const asked = create(control.SolveRequestSchema, { ref, session, entitlements });
  const entry = new Solve(asked, signal);
  const building = place.solves.run(entry, async () => {
    const job = await jobOf(place, entry, request);
    entry.hasBegun = true;
    return await place.engine.builds.solve(job, { signal });
  });
  building.catch(() => {});
  const schema = control.StatusResponseSchema;
  for await (const answer of statusOf(place, ref, signal)) {
    const aux = Buffer.from(toBinary(schema, create(schema, answer))).toString("base64");
    yield { id: "moby.buildkit.trace", aux };
  }
  const { images, metadata } = await building;
  const ID = metadata["containerimage.config.digest"] ?? images[0]?.id;
  if (ID) yield { id: "moby.image.id", aux: { ID } };
}

async function jobOf(
  place: ServicePlace,
  entry: Solve,
  { attributes, outputs, body, hostConfig, credentials, session }: OldBuildRequest,
): Promise<BuildJob> {
  // The body takes the place of a client's folder, which there is none of.
  const given = body ? { ...attributes, context: EMPTY_CONTEXT } : attributes;
  const question = { frontend: "dockerfile.v0", attributes: given, inputs: {} };
  const job = await makeJob(place, entry, { ...question, cacheImports: [], policies: [] });
  const { contexts } = job;
  const main: ContextSource | undefined = body && { kind: "stream", bytes: body };
  return {
    ...{ ...job, hostConfig, outputs, attrs: attributes },
    ...(session === "" && { credentials: async (host: string) => find(credentials, host) }),
    contexts: main ? new Map([...contexts, ["", main]]) : contexts,
  };
}

function find(known: Readonly<Record<string, Credentials>>, host: string): Credentials | undefined {
  const isHub = HUB_HOSTS.includes(host);
  const key = (isHub ? HUB_HOSTS : [host, `https://${host}`]).find((one) =>
    Object.hasOwn(known, one),
  );
  return key === undefined ? undefined : known[key];
}

/** An address that nobody goes to: it only says that the Dockerfile comes with the context. */
const EMPTY_CONTEXT = "https://context.invalid/body.tar";
