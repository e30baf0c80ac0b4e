// A table on a terminal: titles in bold, states in colour, and where it is wider than the window the
// longest columns are cut. Elsewhere tables are docker's, byte for byte (tabwriter.ts).

import { type Paint, printable, type Style } from "./style.ts";
import { columnsOf, ellipsis } from "./text.ts";

export interface TerminalCell {
  text: string;
  style?: Style;
}

const GAP = 3;
/** As docker's tables: no column is narrower. */
const MIN_WIDTH = 10 - GAP;
/** What is cut stays long enough to be told apart. */
const CUT_WIDTH_MIN = 12;

export interface TerminalTable {
  titles: readonly string[];
  rows: readonly (readonly TerminalCell[])[];
  /** Which columns may be cut, by position. */
  cuts: ReadonlySet<number>;
}

/** The table's lines. `columns` is the window's width, if it has one. */
export function terminalTable(
  { titles, rows, cuts }: TerminalTable,
  paint: Paint,
  columns: number | undefined,
): string {
  const cleaned = rows.map((row) => row.map((cell) => ({ ...cell, text: printable(cell.text) })));
  const natural = titles.map((title, at) =>
    Math.max(MIN_WIDTH, columnsOf(title), ...cleaned.map((row) => columnsOf(row[at]!.text))),
  );
  const widths = columns === undefined ? natural : fit(natural, cuts, columns);
  const line = (cells: readonly TerminalCell[]) =>
    cells
      .map(({ text, style }, at) => {
        const shown = cuts.has(at) ? ellipsis(text, widths[at]!) : text;
        const padding = at === cells.length - 1 ? 0 : widths[at]! + GAP - columnsOf(shown);
        return paint(style, shown) + " ".repeat(Math.max(0, padding));
      })
      .join("")
      .trimEnd();
  const head = line(titles.map((text) => ({ text, style: "bold" })));
  return `${[head, ...cleaned.map(line)].join("\n")}\n`;
}

/** Cuts the widest columns that may be cut, until all fits or nothing more can be had. */
export function fit(
  natural: readonly number[],
  cuts: ReadonlySet<number>,
  columns: number,
): number[] {
  const widths = [...natural];
  // The gap behind the last column is not printed.
  let excess = widths.reduce((sum, width) => sum + width + GAP, 0) - GAP - columns;
  while (excess > 0) {
    let widest = -1;
    for (const at of cuts) {
      if (widths[at]! > CUT_WIDTH_MIN && (widest < 0 || widths[at]! > widths[widest]!)) widest = at;
    }
    if (widest < 0) break;
    widths[widest]!--;
    excess--;
  }
  return widths;
}
