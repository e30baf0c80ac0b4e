// Handlers of /containers/… and /commit that make, show and change containers. Each parses what the
// route table cannot, makes one call of the engine and renders the answer.

import type { EngineDoors } from "../../engine/index.ts";
import type { SomeHandlers } from "../call.ts";
import { toCreateRequest } from "../create-request.ts";
import { parseRepoTag } from "../parameters.ts";
import { renderContainerInspect } from "../render/container-inspect.ts";
import { renderContainerSummary } from "../render/container-summary.ts";
import { empty, json } from "../reply.ts";
import { dryRun } from "./prune-plan.ts";

export const containerHandlers = ({ containers, system }: EngineDoors) =>
  ({
    containerList: async ({ query, version, signal }) => {
      const filters = new Map(query.filters);
      // Documented until 1.24 only; since then dockerd, too, knows them as filters alone.
      for (const name of ["since", "before"] as const) {
        if (query[name] && version.below("1.25")) filters.set(name, [query[name]]);
      }
      const limit = query.limit ?? 0;
      const found = await containers.list({
        all: query.all || limit > 0,
        ...(limit > 0 ? { limit } : {}),
        size: query.size,
        filters,
        signal,
      });
      return json(found.map((container) => renderContainerSummary(container, version)));
    },

    containerCreate: async ({ query, body, version, signal }) => {
      const { name, platform } = query;
      const { request, warnings } = toCreateRequest(body, { name, platform }, version);
      const created = await containers.create(request, { signal });
      return json({ Id: created.id, Warnings: [...created.warnings, ...warnings] }, 201);
    },

    containerInspect: async ({ params, query, version, signal }) => {
      const container = await containers.inspect(params.id!, { size: query.size, signal });
      return json(renderContainerInspect(container, version));
    },

    containerTop: async ({ params, query }) =>
      json(await containers.top(params.id!, query.ps_args ?? "")),

    containerChanges: async ({ params, signal }) =>
      json(await containers.changes(params.id!, { signal })),

    containerExport: async ({ params, signal }) => {
      const stream = await containers.export(params.id!, { signal });
      return { kind: "bytes", stream, headers: { "Content-Type": "application/x-tar" } };
    },

    containerUpdate: async ({ params, body = {}, version, signal }) => {
      if (version.below("1.40")) delete body.PidsLimit;
      if (body.PidsLimit != null && body.PidsLimit <= 0) body.PidsLimit = 0;
      const { PublishAdd: add, PublishRemove: remove, ...changes } = body;
      const publish = { ...(add && { add }), ...(remove && { remove }) };
      const { warnings } = await containers.update(params.id!, changes, { signal, publish });
      return json({ Warnings: warnings.length > 0 ? warnings : null });
    },

    containerRename: async ({ params, query }) => {
      await containers.rename(params.id!, query.name ?? "");
      return empty();
    },

    containerPrune: async ({ query, signal }) => {
      if (query["dry-run"]) return await dryRun(system, "container", query);
      const { deleted, spaceReclaimed } = await containers.prune(query.filters, { signal });
      return json({
        ContainersDeleted: deleted.length > 0 ? deleted : null,
        SpaceReclaimed: spaceReclaimed,
      });
    },

    commit: async ({ query, body, signal }) => {
      const named = parseRepoTag(query.repo, query.tag);
      const { id } = await containers.commit(query.container ?? "", {
        ...named,
        ...(query.comment ? { comment: query.comment } : {}),
        ...(query.author ? { author: query.author } : {}),
        pause: query.pause,
        changes: query.changes,
        ...(body && Object.keys(body).length > 0 ? { config: body } : {}),
        signal,
      });
      return json({ Id: id }, 201);
    },
  }) satisfies SomeHandlers;
