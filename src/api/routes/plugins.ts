// GET /plugins: there are no managed plugins, so the list is empty whatever is asked. Plugins of
// the v1 protocol are in `info`, as docker has them.

import { GantryError } from "../../base/index.ts";
import type { SomeHandlers } from "../call.ts";
import { json } from "../reply.ts";

const BOOLEANS = ["true", "1", "false", "0"];

export const pluginHandlers = () =>
  ({
    pluginList: ({ query }) => {
      const enabled = query.filters.get("enabled") ?? [];
      const isBoolean = enabled.length === 1 && BOOLEANS.includes(enabled[0]!);
      if (enabled.length > 0 && !isBoolean) {
        throw new GantryError("invalid", `invalid filter 'enabled=[${enabled.join(" ")}]'`);
      }
      return json([]);
    },
  }) satisfies SomeHandlers;
