// Elastic columns, as Go's text/tabwriter aligns them: a column is a block of consecutive lines
// that have a tab-terminated cell in it, as wide as its widest cell plus padding. Text after the
// last tab of a line belongs to no column.

export interface TabOptions {
  minWidth?: number;
  padding?: number;
}

const widthOf = (text: string) => {
  let width = 0;
  for (const _ of text) width++;
  return width;
};

/** Aligns the tab-separated cells of `text`; docker's tables use 10 and 3. */
export function alignTabs(text: string, { minWidth = 10, padding = 3 }: TabOptions = {}): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const out: string[] = [];
  const widths: number[] = [];

  const print = (from: number, to: number) => {
    for (let at = from; at < to; at++) {
      let line = "";
      lines[at]!.forEach((cell, column) => {
        const width =
          column < widths.length && column < lines[at]!.length - 1 ? widths[column]! : 0;
        line += cell + " ".repeat(Math.max(0, width - widthOf(cell)));
      });
      out.push(line);
    }
  };
  const format = (from: number, to: number) => {
    const column = widths.length;
    let printed = from;
    for (let at = from; at < to; at++) {
      if (column >= lines[at]!.length - 1) continue;
      print(printed, at);
      printed = at;
      let width = minWidth;
      let end = at;
      for (; end < to && column < lines[end]!.length - 1; end++) {
        width = Math.max(width, widthOf(lines[end]![column]!) + padding);
      }
      widths.push(width);
      format(at, end);
      widths.pop();
      printed = end;
      at = end - 1;
    }
    print(printed, to);
  };
  format(0, lines.length);
  return out.join("\n");
}
