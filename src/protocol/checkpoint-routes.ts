// The rows of checkpoints. Docker has them in its experimental mode only; here there is no such
// mode, so that they are always there.

import { defineRoutes } from "./route-table.ts";
import { flag, object, text } from "./schema.ts";

interface CheckpointBody {
  CheckpointID?: string;
  CheckpointDir?: string;
  Exit?: boolean;
}
const checkpointBodySchema = object<CheckpointBody>("checkpoint.CreateRequest", {
  CheckpointID: text,
  CheckpointDir: text,
  Exit: flag,
});

export const checkpointRoutes = defineRoutes({
  checkpointList: {
    method: "GET",
    path: "/containers/{id}/checkpoints",
    query: { dir: "string" },
    answer: "json",
  },
  checkpointCreate: {
    method: "POST",
    path: "/containers/{id}/checkpoints",
    body: checkpointBodySchema,
    answer: "empty",
  },
  checkpointDelete: {
    method: "DELETE",
    path: "/containers/{id}/checkpoints/{checkpoint}",
    query: { dir: "string" },
    answer: "empty",
  },
});
