// Handlers of what talks to registries: push, search, distribution, /auth. (Pull is a form of
// POST /images/create.)

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { platformFromJson } from "../parameters.ts";
import { credentialsOf, registryAuth } from "../registry-auth.ts";
import { json, progress } from "../reply.ts";

export const registryHandlers = ({ images }: EngineDoors) =>
  ({
    imagePush: ({ params, query, headers, signal }) =>
      progress(
        images.push(params.name!, {
          ...(query.tag ? { tag: query.tag } : {}),
          ...(query.platform ? { platform: platformFromJson(query.platform) } : {}),
          ...(query.allPlatforms ? { allPlatforms: true } : {}),
          ...registryAuth(headers),
          signal,
        }),
      ),

    imageSearch: async ({ query, headers, signal }) => {
      const { limit = 0, filters } = query;
      return json(
        await images.search(query.term ?? "", {
          limit,
          filters,
          ...registryAuth(headers),
          signal,
        }),
      );
    },

    distributionInspect: async ({ params, headers, signal }) => {
      const o = { ...registryAuth(headers), signal };
      const { descriptor, platforms } = await images.inspectRemote(params.name!, o);
      return json({ Descriptor: descriptor, Platforms: platforms });
    },

    auth: async ({ body, signal }) => {
      const address = body?.serveraddress ?? "";
      if (body === undefined) throw new GantryError("invalid", "no credentials given");
      const { identityToken } = await images.login(address, credentialsOf(body), { signal });
      return json({ Status: "Login Succeeded", IdentityToken: identityToken });
    },
  }) satisfies SomeHandlers;
