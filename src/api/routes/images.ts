// Handlers of /images/….

import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { ApiVersion } from "../../protocol/index.ts";
import type { SomeHandlers } from "../call.ts";
import { commaSeparated, parseRepoTag, platformFromJson } from "../parameters.ts";
import { registryAuth } from "../registry-auth.ts";
import { renderImageInspect, renderImageSummary } from "../render/image.ts";
import { empty, json, progress, type Reply } from "../reply.ts";
import { dryRun } from "./prune-plan.ts";

export const imageHandlers = ({ images, system }: EngineDoors) =>
  ({
    imageList: async ({ query, version, signal }) => {
      const filters = new Map(query.filters);
      if (query.filter && version.below("1.25") && !filters.has("reference")) {
        filters.set("reference", [query.filter]);
      }
      const more = listOptions(query, version);
      const found = await images.list({ all: query.all, filters, ...more, signal });
      return json(found.map((image) => renderImageSummary(image, version)));
    },

    imageInspect: async ({ params, query, version, signal }) => {
      const asked = inspectOptions(query, version);
      const image = await images.inspect(params.name!, { ...asked, signal });
      return json(renderImageInspect(image, version));
    },

    imageHistory: async ({ params, query, version }) =>
      json(await images.history(params.name!, platformSince("1.48", version, query.platform))),

    imageTag: async ({ params, query }) => {
      const named = parseRepoTag(query.repo, query.tag);
      if (named === undefined) throw invalid("invalid reference format");
      if (named.repo === "sha256") {
        throw invalid("refusing to create an ambiguous tag using digest algorithm as name");
      }
      await images.tag(params.name!, named.repo, named.tag);
      return empty(201);
    },

    imageDelete: async ({ params, query, version, signal }) => {
      if (params.name!.trim() === "") throw invalid("image name cannot be blank");
      const { force, noprune: noPrune } = query;
      const platforms = version.atLeast("1.50") ? query.platforms.map(platformFromJson) : [];
      return json(await images.remove(params.name!, { force, noPrune, platforms, signal }));
    },

    imagePrune: async ({ query, signal }) => {
      if (query["dry-run"]) return await dryRun(system, "image", query);
      const { deleted, spaceReclaimed: bytes } = await images.prune(query.filters, { signal });
      return json({ ImagesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: bytes });
    },

    imageCreate: async ({ query, body, headers, signal }) => {
      if (query.fromImage) {
        const messages = images.pull(query.fromImage, {
          ...(query.tag ? { tag: query.tag } : {}),
          ...(query.platform ? { platform: query.platform } : {}),
          ...registryAuth(headers),
          signal,
        });
        return progress(messages);
      }
      const source = query.fromSrc ?? "";
      if (source !== "-") {
        throw new GantryError(
          "not-implemented",
          "importing from a URL is not supported: fetch it first, then import the file",
        );
      }
      const messages = images.import({
        from: body,
        ...parseRepoTag(query.repo, query.tag),
        message: query.message || `Imported from ${source}`,
        changes: query.changes,
        ...(query.platform ? { platform: query.platform } : {}),
        signal,
      });
      return progress(messages);
    },

    imageLoad: async ({ query, body, version, signal }) => {
      const platform = platformsOf(query.platform, version);
      return progress(images.load(body, { quiet: query.quiet, ...platform, signal }));
    },

    imageGet: async ({ params, query, version, signal }) =>
      tar(await images.save([params.name!], { ...platformsOf(query.platform, version), signal })),

    imageGetAll: async ({ query, version, signal }) => {
      const names = commaSeparated(query.names);
      if (names.length === 0) throw invalid("no image names given");
      return tar(await images.save(names, { ...platformsOf(query.platform, version), signal }));
    },
  }) satisfies SomeHandlers;

function listOptions(
  query: { "shared-size": boolean; manifests: boolean },
  version: ApiVersion,
): { sharedSize: boolean; manifests: boolean } {
  return {
    sharedSize: query["shared-size"] && version.atLeast("1.42"),
    manifests: query.manifests && version.atLeast("1.47"),
  };
}

function inspectOptions(
  query: { platform?: string | undefined; manifests: boolean },
  version: ApiVersion,
): { platform?: string; manifests: boolean } {
  const manifests = query.manifests && version.atLeast("1.48");
  const platform = platformSince("1.49", version, query.platform);
  if (manifests && platform.platform !== undefined) {
    throw invalid("conflicting options: manifests and platform options cannot both be set");
  }
  return { ...platform, manifests };
}

/** The platform that is asked for; versions before `since` do not look at the parameter. */
function platformSince(
  since: string,
  version: ApiVersion,
  asked: string | undefined,
): { platform?: string } {
  return asked && version.atLeast(since) ? { platform: platformFromJson(asked) } : {};
}

function tar(stream: Readable): Reply {
  return { kind: "bytes", stream, headers: { "Content-Type": "application/x-tar" } };
}

function platformsOf(values: string[], version: ApiVersion): { platform?: string[] } {
  if (version.below("1.48") || values.length === 0) return {};
  if (version.below("1.52") && values.length > 1) {
    throw invalid(
      "multiple platform parameters are not supported in this API version; " +
        "use API version 1.52 or later",
    );
  }
  return { platform: values.map(platformFromJson) };
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
