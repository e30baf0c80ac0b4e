// The targets of a bake side by side on one connection and one display. A target whose result is a
// context of another is held open until that one is done.

import { GantryError, messageOf } from "../../../../base/index.ts";
import type { ops } from "../../../../gen/buildkit/index.ts";
import type { Session } from "../../../session.ts";
import { openBuilder } from "../builder.ts";
import type { Status } from "../progress/status.ts";
import type { BuildOptions } from "../request/options.ts";
import type { CallSpec } from "../request/specs.ts";
import { type BuildResult, runBuild } from "../run-build.ts";
import type { Shown } from "../show.ts";
import { inOrder, linkedTargets, type Resolved } from "./resolve.ts";

export interface TargetRun extends Shown {
  options: ReadonlyMap<string, BuildOptions>;
  /** Asked of every target instead of building it. */
  call: CallSpec | undefined;
}

/** Results of the targets that were asked for, by name. The first failure ends all. */
export async function runTargets(
  session: Session,
  resolved: Resolved,
  run: TargetRun,
): Promise<Map<string, BuildResult>> {
  const { targets, wanted } = resolved;
  const order = inOrder(targets);
  const failing = new AbortController();
  const signal = AbortSignal.any([run.signal, failing.signal]);
  using builder = await openBuilder(session);
  const promised = new Map(order.map((name) => [name, Promise.withResolvers<ops.Definition>()]));
  const ended = new Map(order.map((name) => [name, Promise.withResolvers<void>()]));
  for (const { promise } of promised.values()) promise.catch(() => {});
  const results = new Map<string, BuildResult>();
  const build = async (name: string): Promise<void> => {
    const target = targets.get(name)!;
    const linked = new Map<string, ops.Definition>();
    for (const [context, value] of Object.entries(target.contexts ?? {})) {
      // A question is answered from the Dockerfile alone.
      if (!value.startsWith("target:") || run.call) continue;
      linked.set(context, await promised.get(value.slice("target:".length))!.promise);
    }
    const users = order.filter((one) => linkedTargets(targets.get(one)!).includes(name));
    const options = run.options.get(name)!;
    const result = await runBuild(session, run.call ? { ...options, call: run.call } : options, {
      display: order.length > 1 ? prefixed(run.display, name) : run.display,
      ...{ signal, builder, linked, defer: run.defer },
      ...(users.length === 0
        ? {}
        : {
            hold: {
              ready: promised.get(name)!.resolve,
              released: Promise.all(users.map((user) => ended.get(user)!.promise)),
              isWanted: wanted.has(name),
            },
          }),
    });
    if (wanted.has(name)) results.set(name, result);
  };
  let failure: unknown;
  const work = order.map(async (name) => {
    try {
      await build(name);
    } catch (error) {
      failure ??= named(error, name, order.length > 1);
      failing.abort(new GantryError("cancelled", "context canceled"));
      promised.get(name)!.reject(error);
    } finally {
      ended.get(name)!.resolve();
    }
  });
  await Promise.all(work);
  if (failure !== undefined) throw failure;
  return new Map(
    [...wanted].flatMap((name) => {
      const result = results.get(name);
      return result ? [[name, result] as const] : [];
    }),
  );
}

/** The error with its target's name, and the details that the daemon gave. */
function named(error: unknown, target: string, isNamed: boolean): unknown {
  if (!isNamed || !(error instanceof GantryError)) return error;
  return new GantryError(error.kind, messageOf(error), {
    cause: error,
    detail: { ...error.detail, target },
  });
}

/** A target's steps among those of others: "[app 2/3] RUN make", with identities of their own. */
function prefixed(display: Shown["display"], target: string): Pick<Shown["display"], "update"> {
  const own = (digest: string) => `${digest}-${target}`;
  return {
    update: ({ vertexes, statuses, logs, warnings }: Status) =>
      display.update({
        vertexes: vertexes.map((vertex) => ({
          ...vertex,
          digest: own(vertex.digest),
          inputs: vertex.inputs.map(own),
          name: vertex.name.startsWith("[")
            ? `[${target} ${vertex.name.slice(1)}`
            : `[${target}] ${vertex.name}`,
        })),
        statuses: statuses.map((status) => ({ ...status, vertex: own(status.vertex) })),
        logs: logs.map((log) => ({ ...log, vertex: own(log.vertex) })),
        warnings: warnings.map((warning) => ({ ...warning, vertex: own(warning.vertex) })),
      }),
  };
}
