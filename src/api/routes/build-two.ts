// POST /build of version 2: docker's parameters as BuildKit's front end takes them.

import { randomBytes } from "node:crypto";
import { GantryError } from "../../base/index.ts";
import type { OldBuildRequest } from "../../buildkit/index.ts";
import type { BuildRequest, OutputRequest } from "../../engine/index.ts";
import type { Routes } from "../../protocol/index.ts";
import type { Call } from "../call.ts";

type Query = Call<Routes["imageBuild"]>["query"];

/** `plain`: the same request as the classic builder would read it, checked. */
export function buildTwoRequest(query: Query, plain: BuildRequest): OldBuildRequest {
  if (plain.squash) {
    throw new GantryError("not-implemented", "squash is not supported: use a stage FROM scratch");
  }
  const { remote = "", session = "" } = query;
  if (remote === "client-session" && session === "") {
    throw new GantryError("invalid", "a context of a session was asked for, but no session given");
  }
  return {
    ref: plain.buildId || randomBytes(16).toString("hex"),
    ...{ session, attributes: attributesOf(query, plain), outputs: outputsOf(query, plain.tags) },
    ...{ hostConfig: plain.hostConfig, credentials: plain.credentials },
    ...(remote === "" && { body: plain.context }),
  };
}

function attributesOf(
  { remote = "", pull, nocache }: Query,
  plain: BuildRequest,
): Record<string, string> {
  const { target, platform, dockerfile, buildArgs, labels, cacheFrom } = plain;
  const given = Object.entries(buildArgs).flatMap(([name, value]) =>
    value === null ? [] : [[`build-arg:${name}`, value]],
  );
  return {
    filename: dockerfile,
    "image-resolve-mode": pull ? "pull" : "default",
    ...(target && { target }),
    ...(platform && { platform: platform.toLowerCase() }),
    ...(nocache && { "no-cache": "" }),
    ...(remote !== "" && remote !== "client-session" && { context: remote }),
    ...(cacheFrom.length > 0 && { "cache-from": cacheFrom.join(",") }),
    ...Object.fromEntries(given),
    ...Object.fromEntries(Object.entries(labels).map(([name, value]) => [`label:${name}`, value])),
  };
}

/** `-o`: at most one, or the image store. */
function outputsOf({ outputs = "" }: Query, tags: readonly string[]): OutputRequest[] {
  const asked = outputs === "" ? [] : readOutputs(outputs);
  if (asked.length > 1) throw new GantryError("invalid", "multiple outputs not supported");
  const [one = { Type: "moby", Attrs: {} }] = asked;
  const name = tags.length > 0 && { name: tags.join(",") };
  return [{ type: one.Type, attrs: { ...name, ...one.Attrs }, exporter: "0" }];
}

function readOutputs(text: string): { Type: string; Attrs: Record<string, string> }[] {
  const refuse = () => new GantryError("invalid", "error reading outputs: want a list of outputs");
  let value: unknown;
  try {
    value = JSON.parse(text) ?? [];
  } catch {
    throw refuse();
  }
  if (!Array.isArray(value)) throw refuse();
  return value.map((item) => {
    const { Type, Attrs } = (item ?? {}) as { Type?: unknown; Attrs?: unknown };
    const attrs = Object.entries((Attrs ?? {}) as object);
    if (typeof Type !== "string" || attrs.some(([, one]) => typeof one !== "string"))
      throw refuse();
    return { Type, Attrs: Object.fromEntries(attrs) as Record<string, string> };
  });
}
