// GET /v2/_catalog: all repositories, a page at a time. Docker's registry has it, the spec has not.

import type { Exchange } from "../exchange.ts";
import { nextPage, pageOf } from "./pages.ts";

const pageDefault = 100;

export async function getCatalog(exchange: Exchange): Promise<void> {
  const max = exchange.limits.catalogPageMax;
  const page = pageOf(exchange, max);
  if (!exchange.query.has("n")) page.limit = Math.min(pageDefault, max);
  const { names, more } = await exchange.content.repositories(page);
  const last = names.at(-1);
  const next = more && last ? nextPage("/v2/_catalog", { last, n: page.limit }) : {};
  exchange.json(200, { repositories: names }, next);
}
