// Handlers of a build's failed step: what it was, a shell in it, and letting go of it.

import { GantryError } from "../../base/index.ts";
import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { empty, json } from "../reply.ts";
import { streamType } from "./container-streams.ts";

export const failedStepHandlers = ({ builds }: EngineDoors) =>
  ({
    failedStep: ({ params }) => {
      const { failures } = builds;
      const ref = params.ref!;
      const step = failures.get(ref);
      if (!step) throw new GantryError("not-found", `no failed step of a build ${ref} is kept`);
      return json({
        ...{ Ref: ref, Vertex: step.vertex, Name: step.name, Args: step.args },
        ...{ ExitCode: step.exitCode, ShellExitCode: step.shellExitCode ?? null },
      });
    },

    failedStepRelease: async ({ params }) => {
      await builds.failures.release(params.ref!);
      return empty();
    },

    failedStepShell: async ({ params, query, version, signal }) => {
      const { cmd, tty, h: rows = 0, w: columns = 0 } = query;
      const size = tty && rows > 0 && columns > 0 ? { size: { rows, columns } } : {};
      const shell = await builds.failures.shell(params.ref!, { args: cmd, tty, ...size, signal });
      const contentType = streamType(tty, version);
      return { kind: "hijack", stream: shell.stream, stdin: true, contentType };
    },

    failedStepResize: async ({ params, query }) => {
      await builds.failures.resize(params.ref!, { rows: query.h, columns: query.w });
      return empty(200);
    },
  }) satisfies SomeHandlers;
