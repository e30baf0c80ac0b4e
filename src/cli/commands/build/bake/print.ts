// bake --print and --list: what would be built, in the words of a bake file.

import { invalid } from "../request/specs.ts";
import type { Resolved } from "./resolve.ts";
import { type BakeConfig, type BakeTarget, readTarget } from "./target.ts";
import type { Switches } from "./target-options.ts";

/** The groups and targets with everything laid over them; bake reads it again. */
export function planText({ groups, targets }: Resolved, switches: Switches): string {
  const sorted = <T>(map: Iterable<readonly [string, T]>) =>
    Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  const shown = {
    group: sorted([...groups].map(([name, members]) => [name, { targets: members }] as const)),
    target: sorted(
      [...targets].map(([name, target]) => {
        const own = { ...switches.all, ...switches.own.get(name) };
        return [name, shownTarget(target, own)] as const;
      }),
    ),
  };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

function shownTarget(target: BakeTarget, own: { push?: boolean; load?: boolean }): BakeTarget {
  const output = [...(target.output ?? [])];
  if (own.push) output.push("type=image,push=true");
  if (own.load) output.push("type=docker");
  const whole = {
    context: target.context ?? ".",
    ...(target["dockerfile-inline"] === undefined
      ? { dockerfile: target.dockerfile ?? "Dockerfile" }
      : {}),
    ...target,
    ...(output.length > 0 ? { output } : {}),
  };
  return readTarget(whole, "--print");
}

export function listText(config: BakeConfig, what: string): string {
  const [kind, format] = what.replace(/^type=/, "").split(/,format=/);
  if (kind === "targets") {
    const rows = [
      ...[...config.targets].map(([name, { description = "" }]) => ({ name, description })),
      ...[...config.groups].map(([name, members]) => ({
        name,
        description: members.join(", "),
        group: true,
      })),
    ].sort((a, b) => (a.name < b.name ? -1 : 1));
    if (format === "json") return `${JSON.stringify(rows, undefined, 2)}\n`;
    return table([["TARGET", "DESCRIPTION"], ...rows.map((row) => [row.name, row.description])]);
  }
  if (kind === "variables") {
    const rows = [...config.variables].map(([name, { value, description }]) => ({
      ...{ name, value, description },
    }));
    if (format === "json") return `${JSON.stringify(rows, undefined, 2)}\n`;
    const lines = rows.map(({ name, value, description }) => [name, value, description]);
    return table([["VARIABLE", "VALUE", "DESCRIPTION"], ...lines]);
  }
  throw invalid(`invalid list type ${JSON.stringify(what)}: use targets or variables`);
}

function table(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  const line = (row: string[]) => row.map((cell, at) => cell.padEnd(widths[at]! + 4)).join("");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
