// The handler of an image's attestations.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { platformFromJson } from "../parameters.ts";
import { json } from "../reply.ts";

export const attestationHandlers = ({ images }: EngineDoors) =>
  ({
    imageAttestations: async ({ params, query, signal }) => {
      const [platform, more] = query.platform;
      if (more !== undefined) {
        throw new GantryError("invalid", "multiple platform parameters are not supported");
      }
      const found = await images.attestations(params.name!, {
        ...(platform ? { platform: platformFromJson(platform) } : {}),
        types: query.type,
        withStatements: query.statement,
        signal,
      });
      return json(
        found.map(({ descriptor, predicateType, statement }) => ({
          ...{ Descriptor: descriptor, PredicateType: predicateType },
          ...(query.statement && { Statement: statement }),
        })),
      );
    },
  }) satisfies SomeHandlers;
