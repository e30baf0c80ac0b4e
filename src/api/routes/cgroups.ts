// Handler of the containers' cgroups.

import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { json } from "../reply.ts";

export const cgroupHandlers = ({ system }: EngineDoors) =>
  ({
    cgroupTree: async ({ query }) => json(await system.cgroups({ processes: query.processes })),
  }) satisfies SomeHandlers;
