// Handlers of /_ping, /version, /info, /events and /system/df.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors, Event } from "../../engine/index.ts";
import { API_VERSION_MAX, API_VERSION_MIN, type ApiVersion } from "../../protocol/index.ts";
import type { ApiOptions, SomeHandlers } from "../call.ts";
import { parseTimestamp } from "../parameters.ts";
import { renderDiskUsage } from "../render/disk-usage.ts";
import { json, type Reply } from "../reply.ts";

const DF_TYPES = ["container", "image", "volume", "build-cache"];
const EVENT_TYPES = ["application/x-ndjson", "application/json-seq"];

export const systemHandlers = (
  { system, events }: EngineDoors,
  { minApiVersion = API_VERSION_MIN, prefersBuildkit = () => true }: ApiOptions,
) =>
  ({
    ping: () => ping("OK", prefersBuildkit()),
    pingHead: () => ping("", prefersBuildkit()),

    version: async () => {
      // Which API is spoken is this door's to say.
      const spoken = { ApiVersion: API_VERSION_MAX, MinAPIVersion: minApiVersion };
      const known = { ...(await system.version()), ...spoken };
      return json({ ...known, Components: componentsOf(known, spoken) });
    },

    info: async ({ version }) => json(infoFor(await system.info(), version)),

    events: ({ query, version, headers, signal }) => {
      const since = eventTime(query.since);
      const until = eventTime(query.until);
      if (since !== undefined && until !== undefined && until < since) {
        throw new GantryError(
          "invalid",
          `\`since\` time (${query.since}) cannot be after \`until\` time (${query.until})`,
        );
      }
      const request = {
        ...(since === undefined ? {} : { since }),
        ...(until === undefined ? {} : { until }),
        ...(query.after ? { after: query.after } : {}),
        filters: query.filters,
        signal,
      };
      const isPlaced = query.cursor || Boolean(query.after);
      const stream = isPlaced ? events.follow(request) : unplaced(events.subscribe(request));
      return eventStream(eventsFor(stream, version), String(headers.accept ?? ""));
    },

    systemDf: async ({ query, version, signal }) => {
      const types = version.below("1.42") || query.type.length === 0 ? DF_TYPES : query.type;
      const unknown = types.find((type) => !DF_TYPES.includes(type));
      if (unknown !== undefined) {
        throw new GantryError("invalid", `unknown object type: ${unknown}`);
      }
      return json(renderDiskUsage(await system.df({ types, signal }), version, query.verbose));
    },
  }) satisfies SomeHandlers;

function componentsOf(known: Record<string, unknown>, spoken: Record<string, string>): unknown[] {
  const components = (known["Components"] ?? []) as { Name: string; Details?: object }[];
  return components.map((one) =>
    one.Name === "Engine" ? { ...one, Details: { ...one.Details, ...spoken } } : one,
  );
}

function ping(text: string, prefersBuildkit: boolean): Reply {
  return {
    kind: "text",
    text,
    headers: {
      "Content-Type": "text/plain; charset=utf-8",
      "Cache-Control": "no-cache, no-store, must-revalidate",
      Pragma: "no-cache",
      "Builder-Version": prefersBuildkit ? "2" : "1",
      Swarm: "inactive",
    },
  };
}

/** Fields that older clients expect, or would not understand. */
function infoFor(info: Record<string, unknown>, version: ApiVersion): Record<string, unknown> {
  const shown = { ...info };
  if (version.below("1.46")) delete shown["Containerd"];
  if (version.below("1.49")) delete shown["FirewallBackend"];
  if (version.below("1.50")) {
    delete shown["DiscoveredDevices"];
    shown["BridgeNfIptables"] = false;
    shown["BridgeNfIp6tables"] = false;
  }
  if (version.below("1.47")) {
    const none = {
      AllowNondistributableArtifactsCIDRs: null,
      AllowNondistributableArtifactsHostnames: null,
    };
    shown["RegistryConfig"] = { ...none, ...(shown["RegistryConfig"] as object | undefined) };
  }
  if (version.below("1.49")) {
    for (const name of ["ContainerdCommit", "RuncCommit", "InitCommit"]) {
      const commit = shown[name] as { ID?: string } | undefined;
      shown[name] = { ID: commit?.ID ?? "", Expected: commit?.ID ?? "" };
    }
  }
  return shown;
}

const NS_PER_SECOND = 1_000_000_000n;

/** Nanoseconds since 1970; "0" is 1970, not now. */
function eventTime(text: string | undefined): bigint | undefined {
  if (text === "0") return 0n;
  const stamp = parseTimestamp(text);
  if (stamp === undefined) return undefined;
  return BigInt(stamp.seconds) * NS_PER_SECOND + BigInt(stamp.nanoseconds);
}

async function* unplaced(events: AsyncIterable<Event>): AsyncGenerator<{ event: Event }> {
  for await (const event of events) yield { event };
}

/** Events as the client's version knows them: `status`, `id` and `from` until API 1.52. */
async function* eventsFor(
  events: AsyncIterable<{ event: Event; cursor?: string }>,
  version: ApiVersion,
): AsyncGenerator<Record<string, unknown>> {
  for await (const { event, cursor } of events) {
    if (event.Type === "image" && event.Action === "create" && version.below("1.46")) continue;
    const isLegacy = event.Type === "container" || event.Type === "image";
    const place = cursor === undefined ? {} : { cursor };
    if (version.atLeast("1.52") || !isLegacy) {
      yield { ...event, ...place };
      continue;
    }
    const image = event.Actor.Attributes["image"];
    yield {
      status: event.Action,
      id: event.Actor.ID,
      ...(event.Type === "container" && image !== undefined ? { from: image } : {}),
      ...event,
      ...place,
    };
  }
}

function eventStream(documents: AsyncIterable<unknown>, accept: string): Reply {
  const type = EVENT_TYPES.find((offer) => accept.includes(offer)) ?? "application/json";
  return {
    kind: "documents",
    documents,
    headers: { "Content-Type": type },
    before: type === "application/json-seq" ? "\x1e" : "",
    after: "\n",
    headersFirst: true,
    inBand: false,
  };
}
