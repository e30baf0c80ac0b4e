// The door of checkpoints.

import type { EngineContext } from "../context.ts";
import type { Checkpoints } from "../contract.ts";
import { createCheckpoint } from "./create.ts";
import { checkpointsFolder, findFolder, listFolders, removeFolder } from "./folders.ts";

export {
  type CheckpointRef,
  explainRestore,
  openCheckpoint,
  type Restoring,
  restoredProcess,
  restoreShare,
} from "./restore.ts";

export function checkpointVerbs(engine: EngineContext): Checkpoints {
  return {
    create: (ref, request) => createCheckpoint(engine, ref, request),
    list: async (ref, { dir } = {}) =>
      await listFolders(checkpointsFolder(engine, engine.containers.find(ref), dir)),
    remove: async (ref, name, { dir } = {}) => {
      const c = engine.containers.find(ref);
      await removeFolder(await findFolder(checkpointsFolder(engine, c, dir), name, c));
    },
  };
}
