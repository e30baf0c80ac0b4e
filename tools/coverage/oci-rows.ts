// The rows of the OCI runtime's table (docs/reference/facts/oci-runtime.tsv) against the tests: a
// row is there when a test that looks at a real container says `proves("kind", "name", …)`
// (test/support/proves.ts). Sources are read, not run: a test that fails fails by itself.

import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readCopy, root } from "./facts.ts";
import type { Row } from "./rows.ts";

/** "config process.cwd"; each flag of a command is a row of its own, "runc-cmd exec --cwd". */
export function ociRowNames(lines: readonly string[][] = readCopy("oci-runtime")): string[] {
  return lines.flatMap(([kind = "", name = "", flags = ""]) => {
    const row = `${kind} ${name}`;
    const long = flags.split(" ").map((word) => /^--[a-z0-9-]+/.exec(word)?.[0]);
    return [row, ...long.filter((flag) => flag !== undefined).map((flag) => `${row} ${flag}`)];
  });
}

/** The rows that a test's source claims, each with its kind. */
export function claimsOf(source: string): string[] {
  const calls = source.matchAll(/\bproves\(\s*((?:"[^"\n]*"\s*,?\s*)+)\)/g);
  return [...calls].flatMap(([, list = ""]) => {
    const [kind, ...names] = [...list.matchAll(/"([^"\n]*)"/g)].map(([, word]) => word!);
    return names.map((name) => `${kind} ${name}`);
  });
}

/** Claims by file, of every test that touches the kernel. */
export function readClaims(): Map<string, string[]> {
  const files = globSync("test/**/*.test.ts", { cwd: root }).sort();
  const claims = files.map((file) => [file, claimsOf(readFileSync(join(root, file), "utf8"))]);
  return new Map(claims as [string, string[]][]);
}

export function ociRows(
  claims: ReadonlyMap<string, readonly string[]> = readClaims(),
  names: readonly string[] = ociRowNames(),
): Row[] {
  const proven = new Set([...claims.values()].flat());
  return names.map((name) => ({
    name: `oci ${name}`,
    status: proven.has(name) ? "have" : "missing",
  }));
}

/** Claims of what is in no table: a slip of the pen, or a row that is gone. */
export function unknownClaims(
  claims: ReadonlyMap<string, readonly string[]> = readClaims(),
  names: readonly string[] = ociRowNames(),
): string[] {
  const known = new Set(names);
  return [...claims].flatMap(([file, rows]) =>
    rows.filter((row) => !known.has(row)).map((row) => `${file}: ${row}`),
  );
}
