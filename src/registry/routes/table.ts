// Every route of /v2/: what a method does, and what the caller must be allowed to for it.

import type { Access, Action } from "../contract.ts";
import type { Exchange } from "../exchange.ts";
import type { RouteName, Target, TargetOf } from "../targets.ts";
import { getBase } from "./base.ts";
import { deleteBlob, getBlob } from "./blobs.ts";
import { getCatalog } from "./catalog.ts";
import { deleteManifest, getManifest, putManifest } from "./manifests.ts";
import { getReferrers } from "./referrers.ts";
import { getTags } from "./tags.ts";
import { appendUpload, cancelUpload, finishUpload, getUpload, startUpload } from "./uploads.ts";

type Run<R extends RouteName> = (exchange: Exchange, target: TargetOf<R>) => Promise<void>;
type Methods<R extends RouteName> = Record<string, { run: Run<R>; effect: Effect }>;
export type Effect = "read" | "write" | "delete";

const read = <R extends RouteName>(run: Run<R>) => ({ run, effect: "read" as const });
const write = <R extends RouteName>(run: Run<R>) => ({ run, effect: "write" as const });
const remove = <R extends RouteName>(run: Run<R>) => ({ run, effect: "delete" as const });
const reading = <R extends RouteName>(run: Run<R>) => ({ GET: read(run), HEAD: read(run) });

const TABLE: { [R in RouteName]: Methods<R> } = {
  base: reading<"base">(getBase),
  catalog: reading<"catalog">(getCatalog),
  tags: reading(getTags),
  manifest: { ...reading(getManifest), PUT: write(putManifest), DELETE: remove(deleteManifest) },
  referrers: reading(getReferrers),
  blob: { ...reading(getBlob), DELETE: remove(deleteBlob) },
  uploads: { POST: write(startUpload) },
  upload: {
    GET: write(getUpload),
    HEAD: write(getUpload),
    PATCH: write(appendUpload),
    PUT: write(finishUpload),
    DELETE: write(cancelUpload),
  },
};

const ACTIONS: Record<Effect, Action[]> = {
  read: ["pull"],
  write: ["pull", "push"],
  delete: ["delete"],
};

export interface Step {
  effect: Effect;
  wanted: Access[];
  run(exchange: Exchange): Promise<void>;
}

/** What a request does; undefined with the methods there are when this is not one of them. */
export function stepFor(target: Target, method: string): Step | { allowed: string[] } {
  const methods = TABLE[target.route] as Methods<RouteName>;
  const found = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (found === undefined) return { allowed: Object.keys(methods) };
  const { effect, run } = found;
  return {
    effect,
    wanted: wantedFor(target, effect),
    run: (exchange) => run(exchange, target),
  };
}

function wantedFor(target: Target, effect: Effect): Access[] {
  if (target.route === "base") return [];
  if (target.route === "catalog") return [{ type: "registry", name: "catalog", actions: ["*"] }];
  return [{ type: "repository", name: target.name, actions: ACTIONS[effect] }];
}
