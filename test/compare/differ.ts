// Which answers are not the same, place by place, and which of these differences are known: the
// list `differences.json` names each with a reason. A difference that is not listed is a fault, and
// so is a listed one that is not there any more.

import type { Json } from "./normalise.ts";
import type { Content, Outcome } from "./outcome.ts";
import type { Answer } from "./run-script.ts";

export type Difference = {
  script: string;
  step: string;
  /** `exit`, `status`, `headers.content-type`, `out`, `out[0].Config.Env` … */
  at: string;
  docker: Json;
  ours: Json;
};

/** Where `script`, `step` and `at` may have `*` for any text. */
export type Listed = {
  why: string;
  script: string;
  step: string;
  at: string;
  /** What ours is; absent where the places are many and their values differ. */
  ours?: Json;
  /** It depends on the machine, and may be absent. */
  sometimes?: true;
};

export function differences(script: string, docker: Answer[], ours: Answer[]): Difference[] {
  const found: Difference[] = [];
  const ids = new SameIds();
  const titles = new Set([...docker, ...ours].map(({ title }) => title));
  for (const step of titles) {
    const one = docker.find(({ title }) => title === step)?.outcome;
    const other = ours.find(({ title }) => title === step)?.outcome;
    compare(plain(one), withoutAdvice(plain(other)), "", (at, docker, ours) => {
      if (!ids.equal(docker, ours)) found.push({ script, step, at, docker, ours });
    });
  }
  return found;
}

/**
 * Which id of the one run is which of the other: what either made in addition moves the numbers of
 * all that come after, so they are not compared, but that the same id stands for the same one.
 */
class SameIds {
  #theirs = new Map<string, string>();
  #ours = new Map<string, string>();

  equal(docker: Json, ours: Json): boolean {
    if (typeof docker !== "string" || typeof ours !== "string") return docker === ours;
    const number = /<id(\d+)(?=[:>])/g;
    if (docker.replaceAll(number, "<id") !== ours.replaceAll(number, "<id")) return false;
    const other = [...ours.matchAll(number)].map(([, id]) => id!);
    const pairs = [...docker.matchAll(number)].map(([, id], n) => [id!, other[n]!] as const);
    const fits = pairs.every(
      ([one, two]) =>
        (this.#theirs.get(one) ?? two) === two && (this.#ours.get(two) ?? one) === one,
    );
    if (!fits) return false;
    for (const [one, two] of pairs) {
      this.#theirs.set(one, two);
      this.#ours.set(two, one);
    }
    return true;
  }
}

function plain(outcome: Outcome | undefined): Json {
  if (outcome === undefined) return null;
  const { out, err, ...rest } = outcome;
  const shown = (content: Content | undefined) =>
    content === undefined ? {} : Array.isArray(content) ? content.join("\n") : content.json;
  return {
    ...(rest as { [key: string]: Json }),
    ...(out && { out: shown(out) as Json }),
    ...(err && { err: shown(err) as Json }),
  };
}

/** Our errors also say cause and remedy, in lines and fields of their own: all of them, always. */
function withoutAdvice(value: Json): Json {
  if (typeof value === "string") return value.replaceAll(/\n(out: )?(cause|remedy): [^\n]*/g, "");
  if (Array.isArray(value)) return value.map(withoutAdvice);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(
    ([key]) => !("message" in value && ["cause", "remedy"].includes(key)),
  );
  return Object.fromEntries(entries.map(([key, one]) => [key, withoutAdvice(one)]));
}

type Report = (at: string, docker: Json, ours: Json) => void;

function compare(docker: Json, ours: Json, at: string, report: Report): void {
  if (Array.isArray(docker) && Array.isArray(ours) && docker.length === ours.length) {
    for (const [n, one] of docker.entries()) compare(one, ours[n]!, `${at}[${n}]`, report);
  } else if (isObject(docker) && isObject(ours)) {
    for (const key of new Set([...Object.keys(docker), ...Object.keys(ours)])) {
      const absent = "(absent)";
      const path = at === "" ? key : `${at}.${key}`;
      compare(
        docker[key] ?? (key in docker ? null : absent),
        ours[key] ?? (key in ours ? null : absent),
        path,
        report,
      );
    }
  } else if (typeof docker === "string" || JSON.stringify(docker) !== JSON.stringify(ours)) {
    report(at, docker, ours);
  }
}

function isObject(value: Json): value is { [key: string]: Json } {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** The differences that nobody has listed, and the rows of the list that nothing needs. */
export function judge(
  found: readonly Difference[],
  list: readonly Listed[],
  ran: ReadonlySet<string>,
): { unlisted: Difference[]; needless: Listed[] } {
  const used = new Set<Listed>();
  const rows = list.map((row) => ({ row, covers: matcher(row) }));
  const unlisted = found.filter((difference) => {
    const covering = rows.filter(({ covers }) => covers(difference));
    for (const { row } of covering) used.add(row);
    return covering.length === 0;
  });
  const couldRun = ({ script }: Listed) => [...ran].some((name) => pattern(script).test(name));
  return {
    unlisted,
    needless: list.filter((row) => !row.sometimes && !used.has(row) && couldRun(row)),
  };
}

function matcher({ script, step, at, ours }: Listed): (difference: Difference) => boolean {
  const patterns = [pattern(script), pattern(step), pattern(at)] as const;
  return (d) =>
    patterns[0].test(d.script) &&
    patterns[1].test(d.step) &&
    patterns[2].test(d.at) &&
    (ours === undefined || JSON.stringify(ours) === JSON.stringify(d.ours));
}

function pattern(text: string): RegExp {
  const parts = text.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`);
}
