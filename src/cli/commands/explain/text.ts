// An explanation as text: numbered sections, two columns, wrapped to the window. What comes from
// a container may hold anything, so what a terminal would obey is written out. Pure.

import { type Paint, printable } from "../../format/style.ts";

export interface ExplainedLine {
  what: string;
  says: string;
  mark?: "same" | "differs" | "note";
  live?: string;
}
export interface Explained {
  about: { state: string; id?: string; name: string; image: string; pid?: number };
  warnings: string[];
  sections: { id: string; title: string; lines: ExplainedLine[] }[];
  facts: unknown;
  operations: { half: string; index: number; name: string; number: number; says: string }[];
}

const COLUMNS_DEFAULT = 100;
const COLUMNS_MIN = 40;
const WHAT_MAX = 30;
const INDENT = "   ";

export function explainText(
  found: Explained,
  {
    columns = COLUMNS_DEFAULT,
    verbose = false,
    paint = (_, text) => text,
  }: { columns?: number | undefined; verbose?: boolean; paint?: Paint } = {},
): string {
  const width = Math.max(columns, COLUMNS_MIN);
  const lines: string[] = [headline(found)];
  for (const warning of found.warnings) {
    lines.push(...wrap(`WARNING: ${plain(warning)}`, width, "", INDENT));
  }
  for (const [index, { title, lines: items }] of found.sections.entries()) {
    lines.push("", paint("bold", `${index + 1}. ${title}`));
    const what = Math.min(WHAT_MAX, Math.max(...items.map((item) => plain(item.what).length)));
    for (const item of items) lines.push(...itemLines(item, { what, width, paint }));
  }
  if (verbose) lines.push("", ...operationLines(found.operations, paint));
  const differing = found.sections.flatMap((section) =>
    section.lines.filter(({ mark }) => mark === "differs").map(({ what }) => what),
  );
  if (found.about.pid !== undefined) {
    const count = differing.length;
    lines.push("");
    lines.push(
      count === 0
        ? paint("green", "The kernel has what was asked for.")
        : paint(
            "red",
            `${count} ${count === 1 ? "thing differs" : "things differ"} from what was asked ` +
              `for: ${differing.map(plain).join(", ")}`,
          ),
    );
  }
  return lines.join("\n");
}

function headline({ about }: Explained): string {
  const { state, id, name, image, pid } = about;
  if (state === "planned") return `A run of ${plain(image)} would do this; nothing has been done.`;
  const who = `${plain(name)} (${(id ?? "").slice(0, 12)}) of ${plain(image)}`;
  if (state === "ended") return `${who} has ended.`;
  if (state === "created") return `${who} is made, and has not been started.`;
  return pid === undefined ? `${who} is ${state}.` : `${who} is ${state}, process ${pid}.`;
}

function itemLines(
  item: ExplainedLine,
  { what, width, paint }: { what: number; width: number; paint: Paint },
): string[] {
  const marks = { same: "=", differs: "!", note: "·" };
  const mark = item.mark ? marks[item.mark] : " ";
  const name = plain(item.what);
  const lead = ` ${mark} ${name.padEnd(what)}  `;
  const rest = " ".repeat(what + INDENT.length + 2);
  const long = name.length > what;
  const lines = long
    ? [lead.trimEnd(), ...wrap(plain(item.says), width, rest, rest)]
    : wrap(plain(item.says), width, lead, rest);
  if (item.mark !== "differs") return lines;
  const now = wrap(`now: ${plain(item.live ?? "")}`, width, rest, rest);
  return [...lines, ...now].map((text) => paint("red", text));
}

function operationLines(operations: Explained["operations"], paint: Paint): string[] {
  const titles: Record<string, string> = {
    host: "Kernel operations: what the executor does outside",
    container: "Kernel operations: what the new process does to itself, until execve",
    teardown: "Kernel operations: what undoes it",
  };
  const lines: string[] = [];
  let half = "";
  for (const operation of operations) {
    if (operation.half !== half) {
      half = operation.half;
      lines.push(paint("bold", titles[half] ?? half));
    }
    const index = String(operation.index).padStart(4);
    const number = String(operation.number).padStart(3);
    lines.push(
      `${index}  ${operation.name} (${number.trim()})  ${plain(operation.says)}`.trimEnd(),
    );
  }
  return lines;
}

const plain = (text: string): string => printable(text.replace(/\s+/g, " "));

/** Breaks at spaces only: a path that is broken can be copied no more. */
function wrap(text: string, width: number, first: string, rest: string): string[] {
  const room = Math.max(width - rest.length, 20);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((one, index) => `${index === 0 ? first : rest}${one}`.trimEnd());
}
