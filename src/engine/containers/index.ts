// The verbs of containers as the doors see them.

import { checkpointVerbs } from "../checkpoints/index.ts";
import type { EngineContext } from "../context.ts";
import type { Containers } from "../contract.ts";
import { containerLogs } from "../logs/index.ts";
import { archiveIn, archiveOut, globContainer, statContainerPath } from "./archive.ts";
import { attachContainer } from "./attach.ts";
import { containerChanges } from "./changes.ts";
import { commitContainer } from "./commit.ts";
import { createContainer } from "./create.ts";
import { createExec, inspectExec, resizeExec, startExec } from "./exec.ts";
import { exportContainer } from "./export.ts";
import { inspectContainer, listContainers } from "./inspect.ts";
import { killContainer } from "./kill.ts";
import { pauseContainer, unpauseContainer } from "./pause.ts";
import { pruneContainers } from "./prune.ts";
import { removeContainer } from "./remove.ts";
import { renameContainer } from "./rename.ts";
import { resizeContainer } from "./resize.ts";
import { restartContainer } from "./restart.ts";
import { startContainer } from "./start.ts";
import { containerStats } from "./stats.ts";
import { stopContainer } from "./stop.ts";
import { topContainer } from "./top.ts";
import { updateContainer } from "./update.ts";
import { waitContainer } from "./wait.ts";

export function containerVerbs(engine: EngineContext): Containers {
  return {
    create: (request, o) => createContainer(engine, request, o),
    start: (ref, o = {}) =>
      startContainer(
        engine,
        ref,
        o.checkpoint
          ? { name: o.checkpoint, ...(o.checkpointDir && { dir: o.checkpointDir }) }
          : undefined,
      ),
    checkpoints: checkpointVerbs(engine),
    stop: (ref, o) => stopContainer(engine, ref, o),
    restart: (ref, o) => restartContainer(engine, ref, o),
    kill: (ref, signalName) => killContainer(engine, ref, signalName),
    pause: (ref) => pauseContainer(engine, ref),
    unpause: (ref) => unpauseContainer(engine, ref),
    rename: (ref, name) => renameContainer(engine, ref, name),
    update: (ref, changes, o) => updateContainer(engine, ref, changes, o?.publish),
    remove: (ref, o) => removeContainer(engine, ref, o),
    inspect: (ref, o) => inspectContainer(engine, ref, o),
    list: (o) => listContainers(engine, o),
    prune: (filters, o) => pruneContainers(engine, filters, o),
    wait: (ref, condition, o) => waitContainer(engine, ref, condition, o),
    attach: (ref, o) => attachContainer(engine, ref, o),
    logs: (ref, o) => containerLogs(engine, ref, o),
    resize: (ref, rows, columns) => resizeContainer(engine, ref, rows, columns),
    top: (ref, psArgs) => topContainer(engine, ref, psArgs),
    changes: (ref) => containerChanges(engine, ref),
    export: (ref, o) => exportContainer(engine, ref, o),
    commit: (ref, o) => commitContainer(engine, ref, o),
    statPath: (ref, path) => statContainerPath(engine, ref, path),
    glob: (ref, pattern, o) => globContainer(engine, ref, pattern, o),
    archiveOut: (ref, path, o) => archiveOut(engine, ref, path, o),
    archiveIn: (ref, path, tar, o) => archiveIn(engine, ref, path, tar, o),
    stats: (ref, o) => containerStats(engine, ref, o),
    execCreate: (ref, config) => createExec(engine, ref, config),
    execStart: (execId, o) => startExec(engine, execId, o),
    execInspect: (execId) => inspectExec(engine, execId),
    execResize: (execId, rows, columns) => resizeExec(engine, execId, rows, columns),
  };
}
