// Where the outputs of a build go on this side, decided and checked before anything is built.

import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { callerPath, type Io } from "../../io.ts";
import type { Exporter } from "./request/solve.ts";
import { invalid, type OutputSpec } from "./request/specs.ts";
import type { OutputTarget } from "./session/serve.ts";

export interface PlacedOutputs {
  targets: (OutputTarget | undefined)[];
  /** Layout folders that an output is written into, blob by blob. */
  stores: Map<string, string>;
  /** Folders whose index is written when the build is done. */
  layouts: string[];
}

export function placeOutputs(
  io: Io,
  exporters: readonly (Exporter & { spec: OutputSpec })[],
): PlacedOutputs {
  const placed: PlacedOutputs = { targets: [], stores: new Map(), layouts: [] };
  let toStdout = 0;
  for (const { type, attrs, spec } of exporters) {
    const takesFile = type === "tar" || type === "oci" || (type === "docker" && spec.dest);
    if (type === "local") placed.targets.push({ folder: callerPath(io, spec.dest!) });
    else if (!takesFile) placed.targets.push(undefined);
    else if (attrs["tar"] === "false") {
      if (!spec.dest || spec.dest === "-") throw invalid(`dest is required for ${type} output`);
      const folder = callerPath(io, spec.dest);
      placed.stores.set("export", folder);
      placed.layouts.push(folder);
      placed.targets.push(undefined);
    } else if (spec.dest === undefined || spec.dest === "-" || spec.dest === "") {
      if (io.stdout.isTerminal) {
        throw invalid(`dest file is required for ${type} exporter. refusing to write to console`);
      }
      if (++toStdout > 1) throw invalid("only one output may go to standard output");
      placed.targets.push({ stdout: io.stdout });
    } else placed.targets.push({ path: filePath(io, spec.dest) });
  }
  return placed;
}

function filePath(io: Io, dest: string): string {
  const path = callerPath(io, dest);
  if (existsSync(path) && statSync(path).isDirectory()) {
    throw invalid(`destination file ${dest} is a directory`);
  }
  if (!existsSync(dirname(path))) {
    throw invalid(`invalid output path: directory ${JSON.stringify(dirname(dest))} does not exist`);
  }
  return path;
}
