// The files that the tidy tests read: everything of the project's own that git knows or would
// take, read once.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const NOT_OURS = /^(shared\/|src\/gen\/|package-lock\.json$|LICENSE$)/;
const TEXT =
  /\.(ts|tsx|js|mjs|cjs|c|h|sh|json|md|css|html|yml)$|^\.ci\/run$|^bin\/|^tools\/with-node$/;

export type SourceFile = { path: string; text: string; lines: string[] };

function listed(): string[] {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const output = execFileSync("git", args, { cwd: root, encoding: "utf8" });
  return output.split("\0").filter((path) => path !== "" && !NOT_OURS.test(path));
}

export const paths: string[] = listed().filter((path) => existsSync(join(root, path)));

export const sources: SourceFile[] = paths
  .filter((path) => TEXT.test(path))
  .map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    return { path, text, lines: text.replace(/\n$/, "").split("\n") };
  });

export const code: SourceFile[] = sources.filter(({ path }) => /\.(ts|c|h)$/.test(path));
