// What the handlers of the API use of what the route table declares, read from their source: a
// parameter that is declared and never looked at is a parameter that is ignored.

import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./facts.ts";

export class HandlerSources {
  /** The text of each handler, from its name to the next one's. */
  #blocks = new Map<string, string>();
  #files = new Map<string, string>();

  constructor(sources: readonly string[] = apiSources()) {
    for (const source of sources) {
      const starts = [...source.matchAll(/^ {2,6}(\w+): (?:async )?\(.*$/gm)];
      starts.forEach((start, index) => {
        const end = starts[index + 1]?.index ?? source.length;
        this.#blocks.set(start[1]!, source.slice(start.index, end));
        this.#files.set(start[1]!, source);
      });
    }
  }

  /** Whether a route's handler looks at a parameter; undefined where its text does not tell. */
  usesQuery(route: string, name: string): boolean | undefined {
    const block = this.#blocks.get(route);
    if (block === undefined) return undefined;
    if (names(block, name)) return true;
    // The whole query goes to a function, mostly of the same file; the signature does not count.
    const body = block.slice(Math.max(block.indexOf("=>"), 0));
    const passedOn = /[(,] ?query[,)]|\.\.\.query\b|\bcall\b/.test(body);
    if (!passedOn) return false;
    return names(this.#files.get(route)!, name) ? true : undefined;
  }

  /** Whether a route's handler reads a header; undefined where its text does not tell. */
  usesHeader(route: string, header: string): boolean | undefined {
    const block = this.#blocks.get(route);
    if (block === undefined) return undefined;
    const readers = [header.toLowerCase(), READERS[header] ?? header.toLowerCase()];
    const isReadIn = (text: string) => readers.some((reader) => text.includes(reader));
    if (isReadIn(block)) return true;
    // The whole call goes to a function, mostly of the same file.
    if (!/\bheaders\b|\bcall\b/.test(block)) return false;
    return isReadIn(this.#files.get(route)!) ? true : undefined;
  }
}

/** Functions that read a header for handlers. */
const READERS: Record<string, string> = {
  "X-Registry-Auth": "registryAuth(",
  "X-Registry-Config": "registryConfig(",
};

function names(text: string, name: string): boolean {
  return new RegExp(`(?<![\\w-])${RegExp.escape(name)}(?![\\w-])`).test(text);
}

function apiSources(): string[] {
  const files = globSync("src/api/routes/*.ts", { cwd: root });
  return files.map((file) => readFileSync(join(root, file), "utf8"));
}

/** Every word of the code that does what the API asks; with `rendered`, also of its answers. */
export function wordsOfTheProgram({ rendered }: { rendered: boolean }): Set<string> {
  const files = globSync(
    "src/{api,engine,runtime,network,storage,distribution,build,buildkit,daemon}/**/*.ts",
    { cwd: root },
  ).filter((file) => !file.endsWith(".test.ts") && (rendered || !file.includes("api/render/")));
  const words = new Set<string>();
  for (const file of files) {
    for (const [word] of readFileSync(join(root, file), "utf8").matchAll(/\w+/g)) words.add(word);
  }
  return words;
}
