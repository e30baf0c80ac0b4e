// What a coverage tool finds: one row for everything that Docker has, the reasons for what we
// refuse (docs/reference/refused.tsv), and the report that ends with `N of M, K refused with a
// reason`.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./facts.ts";

/** `unchecked`: no program can tell; nobody has claimed it works. */
export type Status = "have" | "missing" | "unchecked";
export interface Row {
  /** "GET /events filter scope", "docker run --gpus": what a refusal names. */
  name: string;
  status: Status;
  note?: string;
}
export interface Refusal {
  /** A row's name; `*` stands for any text. */
  pattern: string;
  reason: string;
}
export interface Summary {
  have: number;
  all: number;
  missing: Row[];
  unchecked: Row[];
  refused: { row: Row; reason: string }[];
  /** Refusals of what is there, or of what nobody knows. */
  needless: Refusal[];
}

export function readRefusals(): Refusal[] {
  const text = readFileSync(join(root, "docs/reference/refused.tsv"), "utf8");
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.slice(1).map((line) => {
    const [pattern = "", reason = ""] = line.split("\t");
    return { pattern, reason };
  });
}

export function summarise(rows: readonly Row[], refusals: readonly Refusal[]): Summary {
  const used = new Set<Refusal>();
  const matchers = refusals.map((refusal) => ({ refusal, match: matcher(refusal.pattern) }));
  const summary: Summary = {
    have: 0,
    all: rows.length,
    missing: [],
    unchecked: [],
    refused: [],
    needless: [],
  };
  for (const row of rows) {
    if (row.status === "have") {
      summary.have++;
      continue;
    }
    const found = matchers.find(({ match }) => match.test(row.name))?.refusal;
    if (found !== undefined) {
      used.add(found);
      summary.refused.push({ row, reason: found.reason });
    } else summary[row.status].push(row);
  }
  summary.needless = refusals.filter((refusal) => !used.has(refusal));
  return summary;
}

function matcher(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => RegExp.escape(part));
  return new RegExp(`^${parts.join(".*")}$`);
}

/** The report as lines; the last is the one that counts. */
export function report(summary: Summary, { all = false }: { all?: boolean } = {}): string[] {
  const { have, missing, unchecked, refused, needless } = summary;
  return [
    ...folded("missing", missing),
    ...folded("unchecked", unchecked),
    ...(all ? refused.map(({ row, reason }) => `refused\t${row.name}\t${reason}`) : []),
    ...needless.map(({ pattern }) => `needless\t${pattern}\ta refusal that refuses nothing`),
    `${missing.length} missing, ${unchecked.length} unchecked`,
    `${have} of ${summary.all}, ${refused.length} refused with a reason`,
  ];
}

/** One line a row; a field within a field that is listed only adds to that one's line. */
function folded(mark: string, rows: readonly Row[]): string[] {
  const within = new Map<Row, number>();
  let top: Row | undefined;
  for (const row of rows) {
    if (top !== undefined && row.name.startsWith(`${top.name}.`)) {
      within.set(top, within.get(top)! + 1);
    } else {
      top = row;
      within.set(row, 0);
    }
  }
  return [...within].map(([row, count]) => {
    const more = count === 0 ? "" : ` and ${count} within it`;
    return `${mark}\t${row.name}${more}${row.note === undefined ? "" : `\t${row.note}`}`;
  });
}
