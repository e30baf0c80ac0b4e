// Which files of each context a graph can read, so that only these are transferred: what COPY and
// ADD name, and what is mounted. Patterns stay patterns: the client resolves them, links too.

import { type BuildGraph, type Input, neededBy } from "../../build/index.ts";

/** By context; "" is the main one. An empty list: all of it. */
export function neededPaths(graphs: readonly BuildGraph[]): Map<string, string[]> {
  const needed = new Map<string, Set<string>>();
  const add = (from: Input | { kind: "download" }, path: string) => {
    if (from.kind !== "context") return;
    const paths = needed.get(from.name) ?? new Set();
    needed.set(from.name, paths.add(path.replace(/^\/+|\/+$/g, "")));
  };
  for (const { operation } of neededBy(...graphs.map(({ target }) => target.top))) {
    if (operation.kind === "run") {
      for (const { mount, from } of operation.mounts) {
        if (mount.type === "bind" || mount.type === "cache") add(from, mount.source);
      }
    }
    if (operation.kind !== "copy") continue;
    for (const { from, paths } of operation.sources) {
      for (const { path, pattern } of paths) {
        add(from, pattern === undefined ? path : `${path}/${pattern}`);
      }
    }
  }
  return new Map([...needed].map(([name, paths]) => [name, followed(paths)]));
}

function followed(paths: ReadonlySet<string>): string[] {
  const clean = [...paths].map((path) => path.split("/").filter(isName).join("/"));
  return clean.includes("") ? [] : [...new Set(clean)].sort();
}

const isName = (part: string): boolean => part !== "" && part !== ".";
