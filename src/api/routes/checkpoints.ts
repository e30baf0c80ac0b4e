// Handlers of checkpoints.

import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { empty, json } from "../reply.ts";

export const checkpointHandlers = ({ containers: { checkpoints } }: EngineDoors) =>
  ({
    checkpointList: async ({ params, query }) =>
      json(await checkpoints.list(params.id!, query.dir ? { dir: query.dir } : {})),

    checkpointCreate: async ({ params, body = {}, signal }) => {
      const { CheckpointID: name = "", CheckpointDir: dir, Exit: exit = false } = body;
      const request = { name, leaveRunning: !exit, ...(dir && { dir }) };
      await checkpoints.create(params.id!, request, { signal });
      return empty(201);
    },

    checkpointDelete: async ({ params, query }) => {
      const where = query.dir ? { dir: query.dir } : {};
      await checkpoints.remove(params.id!, params.checkpoint!, where);
      return empty();
    },
  }) satisfies SomeHandlers;
