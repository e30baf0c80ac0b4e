// GET /v2/: "this is a registry, and you may use it" (distribution spec 1.1, end-1).

import type { Exchange } from "../exchange.ts";

export async function getBase(exchange: Exchange): Promise<void> {
  exchange.json(200, {});
}
