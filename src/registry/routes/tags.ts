// GET /v2/<name>/tags/list (distribution spec 1.1, end-8a and end-8b).

import type { Exchange } from "../exchange.ts";
import type { TargetOf } from "../targets.ts";
import { nextPage, pageOf } from "./pages.ts";

export async function getTags(exchange: Exchange, { name }: TargetOf<"tags">): Promise<void> {
  const page = pageOf(exchange, Number.MAX_SAFE_INTEGER);
  const { tags, more } = await exchange.content.tags(name, page);
  const last = tags.at(-1);
  const next = more && last ? nextPage(`/v2/${name}/tags/list`, { last, n: page.limit }) : {};
  exchange.json(200, { name, tags }, next);
}
