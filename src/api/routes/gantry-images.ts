// Handlers of /gantry/images/…: verbs of images that docker does not have.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { commaSeparated } from "../parameters.ts";
import { registryAuth } from "../registry-auth.ts";
import { progress } from "../reply.ts";

export const gantryImageHandlers = ({ images }: EngineDoors) =>
  ({
    imageVerify: async ({ query, headers, signal }) => {
      const { all, remote, repair } = query;
      const refs = commaSeparated(query.names);
      if (all === refs.length > 0) throw new GantryError("invalid", "want image names, or all");
      return progress(
        images.verify({ refs, all, remote, repair, ...registryAuth(headers), signal }),
      );
    },

    imageBootstrap: async ({ query, signal }) => {
      const { image = "", tag, variant, mirror } = query;
      const include = commaSeparated(query.include);
      const asked = { image, include, ...(tag && { tag }), ...(variant && { variant }) };
      return progress(images.bootstrap({ ...asked, ...(mirror && { mirror }), signal }));
    },
  }) satisfies SomeHandlers;
