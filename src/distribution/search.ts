// Search: the v1 endpoint that Docker Hub and registries of ours answer.

import { GantryError } from "../base/index.ts";
import type { Credentials } from "./contract.ts";
import { readBody } from "./http-exchange.ts";
import type { Registries } from "./registries.ts";

const HUB_INDEX = "index.docker.io";
const answerBytesMax = 4 << 20;

export interface SearchResult {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
  is_automated: boolean;
}

/** `term` may begin with a registry's host. */
export async function searchImages(
  registries: Registries,
  term: string,
  o: { limit: number; credentials?: Credentials; signal?: AbortSignal },
): Promise<SearchResult[]> {
  const { host, query } = splitTerm(term);
  const { credentials = {}, signal } = o;
  const registry = await registries.open(host, { credentials, ...(signal ? { signal } : {}) });
  const url = new URL("/v1/search", registry.base);
  url.searchParams.set("q", query);
  url.searchParams.set("n", String(o.limit));
  const { response } = await registry.ask("GET", url, { scopes: [] });
  if (response.statusCode !== 200) {
    response.resume();
    throw new GantryError("internal", `Unexpected status code ${response.statusCode}`);
  }
  const text = (await readBody(response, answerBytesMax)).toString("utf8");
  const { results } = JSON.parse(text) as { results?: unknown };
  return (Array.isArray(results) ? results : []).map((found) => {
    const one = found as Partial<SearchResult>;
    return {
      name: String(one.name ?? ""),
      description: String(one.description ?? ""),
      star_count: Number(one.star_count ?? 0),
      is_official: one.is_official === true,
      is_automated: one.is_automated === true,
    };
  });
}

function splitTerm(term: string): { host: string; query: string } {
  const slash = term.indexOf("/");
  const first = slash < 0 ? "" : term.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  if (!isHost || first === "docker.io" || first === HUB_INDEX) {
    return { host: HUB_INDEX, query: isHost ? term.slice(slash + 1) : term };
  }
  return { host: first, query: term.slice(slash + 1) };
}
