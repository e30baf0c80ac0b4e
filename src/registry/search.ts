// `GET /v1/search?q=TERM&n=COUNT`, which `docker search HOST/TERM` asks: names and descriptions of
// the repositories that the caller may see. It answers from an index in memory: names are listed
// again after a while or when something was pushed or deleted here, descriptions are read for what
// is shown at once and for the rest little by little, so that no request costs more than its bound.

import { setTimeout as delay } from "node:timers/promises";
import type {
  Access,
  ExtraRoute,
  Gatekeeper,
  Grant,
  Observer,
  RegistryContent,
} from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { describe } from "./search-description.ts";

export interface SearchOptions {
  /** Names are listed again after so long [60 000]. */
  namesMs?: number;
  /** Descriptions are read again after so long [600 000]. */
  descriptionsMs?: number;
  /** Repositories that are indexed; those that come later in the alphabet are not [100 000]. */
  repositoriesMax?: number;
}
export interface SearchResult {
  name: string;
  description: string;
}

const PAGE = 1_000;
const RESULTS_DEFAULT = 25;
const RESULTS_MAX = 100;
const TERM_LENGTH_MAX = 200;
const READS_AT_ONCE = 4;
/** So long a search waits for descriptions; what is not known by then is found the next time. */
const DESCRIPTIONS_WAIT_MS = 1_500;

interface Described {
  description: string;
  at: number;
}

export class SearchIndex {
  readonly observer: Observer = {
    actions: ["push", "delete", "mount"],
    event: ({ action, repository }) => this.#on(action, repository),
  };
  #content: RegistryContent;
  #options: Required<SearchOptions>;
  #now: () => number;
  #names: string[] = [];
  #namesAt = Number.NEGATIVE_INFINITY;
  #listing: Promise<void> | undefined;
  #descriptions = new Map<string, Described>();
  #reading: Promise<void> | undefined;

  constructor(
    content: RegistryContent,
    { namesMs = 60_000, descriptionsMs = 600_000, repositoriesMax = 100_000 }: SearchOptions = {},
    now: () => number = Date.now,
  ) {
    this.#content = content;
    this.#options = { namesMs, descriptionsMs, repositoriesMax };
    this.#now = now;
  }

  /** The best `limit` of what `visible` lets through, best first. */
  async find(
    term: string,
    limit: number,
    visible: (name: string) => boolean = () => true,
  ): Promise<SearchResult[]> {
    await this.#refreshNames();
    const words = term.toLowerCase().split(/\s+/).filter(Boolean);
    const byName = some(
      ranked(this.#names, words, () => ""),
      limit,
      visible,
    );
    // What is certainly shown comes first; the rest is read for the sake of its words.
    const reading = this.#readAll(byName, this.#names);
    const late = new AbortController();
    const waited = delay(DESCRIPTIONS_WAIT_MS, undefined, { signal: late.signal, ref: false });
    await Promise.race([reading, waited.catch(() => {})]);
    late.abort();
    const description = (name: string) => this.#descriptions.get(name)?.description ?? "";
    const best = some(ranked(this.#names, words, description), limit, visible);
    return best.map((name) => ({ name, description: description(name) }));
  }

  #on(action: string, repository: string): void {
    this.#descriptions.delete(repository);
    if (action === "delete" || !this.#names.includes(repository)) {
      this.#namesAt = Number.NEGATIVE_INFINITY;
    }
  }

  async #refreshNames(): Promise<void> {
    if (this.#now() - this.#namesAt < this.#options.namesMs) return;
    this.#listing ??= this.#list().finally(() => {
      this.#listing = undefined;
    });
    await this.#listing;
  }

  async #list(): Promise<void> {
    const at = this.#now();
    const names: string[] = [];
    const { repositoriesMax } = this.#options;
    for (let after: string | undefined; names.length < repositoriesMax; ) {
      const page = await this.#content.repositories({ limit: PAGE, ...(after && { after }) });
      names.push(...page.names);
      after = page.names.at(-1);
      if (!page.more || after === undefined) break;
    }
    this.#names = names.slice(0, repositoriesMax);
    this.#namesAt = at;
    const known = new Set(this.#names);
    for (const name of this.#descriptions.keys()) {
      if (!known.has(name)) this.#descriptions.delete(name);
    }
  }

  /** Reads what is unknown or old; one reader at a time, which the caller need not wait for. */
  #readAll(first: readonly string[], rest: readonly string[]): Promise<void> {
    const old = this.#now() - this.#options.descriptionsMs;
    const missing = [...new Set([...first, ...rest])].filter(
      (name) => (this.#descriptions.get(name)?.at ?? Number.NEGATIVE_INFINITY) < old,
    );
    if (missing.length === 0) return Promise.resolve();
    this.#reading ??= this.#read(missing).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(names: string[]): Promise<void> {
    const queue = names.values();
    const reader = async () => {
      for (const name of queue) {
        const at = this.#now();
        const description = await describe(this.#content, name).catch(() => "");
        this.#descriptions.set(name, { description, at });
      }
    };
    await Promise.all(Array.from({ length: READS_AT_ONCE }, reader));
  }
}

/** The first that are let through: who may see a name is asked for those that fit only. */
function some(
  names: readonly string[],
  limit: number,
  visible: (name: string) => boolean,
): string[] {
  return names.values().filter(visible).take(limit).toArray();
}

/** Those that have every word, best first: the name itself, its last part, its beginning, within
 * the name, in the description. Exported for tests. */
export function ranked(
  names: readonly string[],
  words: readonly string[],
  description: (name: string) => string,
): string[] {
  const term = words.join(" ");
  const scored: { name: string; score: number }[] = [];
  for (const name of names) {
    const text = `${name} ${description(name).toLowerCase()}`;
    if (words.every((word) => text.includes(word))) scored.push({ name, score: score(name, term) });
  }
  scored.sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1));
  return scored.map(({ name }) => name);
}

function score(name: string, term: string): number {
  const last = name.slice(name.lastIndexOf("/") + 1);
  if (name === term) return 0;
  if (last === term) return 1;
  if (name.startsWith(term) || last.startsWith(term)) return 2;
  return name.includes(term) ? 3 : 4;
}

/** The address of docker's search, and the one that its client asks before. */
export function createSearchRoutes(index: SearchIndex, gatekeeper: Gatekeeper): ExtraRoute[] {
  const search: ExtraRoute = {
    path: "/v1/search",
    async handle(request, response, facts) {
      const { searchParams } = facts.url;
      const grant = await gatekeeper.admit(facts, []);
      const term = (searchParams.get("q") ?? "").trim().slice(0, TERM_LENGTH_MAX);
      const limit = resultsOf(searchParams.get("n"));
      const found = await index.find(term, limit, visibleTo(grant));
      const results = found.map((one) => ({
        ...one,
        star_count: 0,
        is_official: false,
        is_automated: false,
        is_trusted: false,
      }));
      const answer = { query: term, num_results: results.length, num_pages: 1, page: 1 };
      const body = JSON.stringify({ ...answer, page_size: limit, results });
      response.writeHead(200, {
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(body),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
      });
      response.end(request.method === "HEAD" ? undefined : body);
    },
  };
  const ping: ExtraRoute = {
    path: "/v1/_ping",
    async handle(request, response) {
      response.writeHead(200, {
        "Content-Type": "application/json",
        "X-Docker-Registry-Standalone": "true",
      });
      response.end(request.method === "HEAD" ? undefined : "true");
    },
  };
  return [search, ping];
}

function resultsOf(text: string | null): number {
  if (text === null || text === "") return RESULTS_DEFAULT;
  const wanted = Number(text);
  if (Number.isInteger(wanted) && wanted > 0) return Math.min(wanted, RESULTS_MAX);
  throw new RegistryError("PAGINATION_NUMBER_INVALID", "invalid number of results requested", {
    detail: { n: text },
  });
}

/** All repositories for those who may list the catalog; otherwise what they may pull. */
function visibleTo(grant: Grant): (name: string) => boolean {
  const catalog: Access = { type: "registry", name: "catalog", actions: ["*"] };
  if (grant.allows(catalog)) return () => true;
  return (name) => grant.allows({ type: "repository", name, actions: ["pull"] });
}
