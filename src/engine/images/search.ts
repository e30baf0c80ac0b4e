// Search: a registry's answer, with docker's filters applied here.

import { GantryError } from "../../base/index.ts";
import { type SearchResult, searchImages } from "../../distribution/index.ts";
import type { EngineContext } from "../context.ts";
import type { Images } from "../contract.ts";

const resultsMax = 100;
const resultsDefault = 25;

export async function search(
  engine: EngineContext,
  term: string,
  o: Parameters<Images["search"]>[1] = {},
): Promise<SearchResult[]> {
  const { limit = 0, filters, ...rest } = o;
  if (limit < 0 || limit > resultsMax) {
    throw new GantryError("invalid", `Limit ${limit} is outside the range of [1, ${resultsMax}]`);
  }
  const keep = compile(filters ?? new Map());
  const found = await searchImages(engine.registries, term, {
    limit: limit || resultsDefault,
    ...rest,
  });
  return found.filter(keep).slice(0, limit || resultsDefault);
}

function compile(filters: ReadonlyMap<string, readonly string[]>): (one: SearchResult) => boolean {
  for (const name of filters.keys()) {
    if (["is-automated", "is-official", "stars"].includes(name)) continue;
    throw new GantryError("invalid", `invalid filter '${name}'`);
  }
  const wanted = (name: string): boolean | undefined => {
    const [value] = filters.get(name) ?? [];
    if (value === undefined) return undefined;
    if (/^(1|true)$/i.test(value)) return true;
    if (/^(0|false)$/i.test(value)) return false;
    throw new GantryError("invalid", `invalid filter '${name}=[${value}]'`);
  };
  const official = wanted("is-official");
  const automated = wanted("is-automated");
  const stars = (filters.get("stars") ?? []).map((text) => {
    if (/^\d+$/.test(text)) return Number(text);
    throw new GantryError("invalid", `invalid filter 'stars=[${text}]'`);
  });
  return (one) =>
    (official === undefined || one.is_official === official) &&
    (automated === undefined || one.is_automated === automated) &&
    stars.every((least) => one.star_count >= least);
}
