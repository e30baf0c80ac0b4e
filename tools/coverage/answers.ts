// Which fields a daemon's answers have. `--record` starts a daemon of its own (root is needed),
// makes a container, an image, a volume and a network with as much to tell as is cheap, and writes
// the fields seen to docs/reference/facts/answers.tsv; the coverage tool reads that file.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { definitions, fieldPaths, root } from "./facts.ts";
import { ANSWERED, answerFields } from "./operations.ts";

const FILE = join(root, "docs/reference/facts/answers.tsv");

export function seenAnswers(): Map<string, Set<string>> {
  const lines = readFileSync(FILE, "utf8").split("\n").slice(1);
  return new Map(
    lines
      .filter((line) => line !== "")
      .map((line) => {
        const [operation = "", paths = ""] = line.split("\t");
        return [operation, new Set(paths.split(" "))];
      }),
  );
}

/** `samples`: bodies of answers by operation, as they were parsed from JSON. */
export function writeAnswers(samples: ReadonlyMap<string, readonly unknown[]>): void {
  const known = definitions();
  const lines = ANSWERED.flatMap((operation) => {
    const values = samples.get(operation) ?? [];
    const paths = fieldPaths(answerFields(operation, known), known);
    const seen = paths.filter((path) => values.some((value) => hasPath(value, path.split("."))));
    return seen.length === 0 ? [] : [`${operation}\t${seen.join(" ")}`];
  });
  writeFileSync(FILE, `operation\tfields\n${lines.join("\n")}\n`);
}

/** Whether a value has a field, as fieldPaths writes them; any item of a list will do. */
export function hasPath(value: unknown, path: readonly string[]): boolean {
  if (Array.isArray(value)) return value.some((item) => hasPath(item, path));
  const [step, ...rest] = path;
  if (step === undefined) return true;
  if (typeof value !== "object" || value === null) return false;
  if (step === "*") return Object.values(value).some((item) => hasPath(item, rest));
  if (!Object.hasOwn(value, step)) return false;
  return rest.length === 0 || hasPath((value as Record<string, unknown>)[step], rest);
}
