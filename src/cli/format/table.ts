// What every listing command does with its rows: a table, one JSON object a line, or the user's
// template, with docker's rules for each ("table TEMPLATE", \t and \n written out, headers).

import { GantryError, messageOf } from "../../base/index.ts";
import { TemplateObject } from "../../template/index.ts";
import type { Output } from "../io.ts";
import { paintFor, type Style } from "./style.ts";
import { alignTabs } from "./tabwriter.ts";
import { terminalTable } from "./terminal-table.ts";

export interface Column<T> {
  header: string;
  /** On a terminal only. */
  style?: (row: T) => Style | undefined;
  /** May be cut on a terminal that is too narrow. */
  cut?: boolean;
  value: (row: T) => unknown;
  /** Left out of json. */
  hidden?: boolean;
}
export interface RowType<T> {
  /** The name that Go's error messages show: "*formatter.ContainerContext". */
  goType: string;
  columns: Record<string, Column<T>>;
  /** Nothing is cut (--no-trunc). */
  whole?: boolean;
  /** Methods that take arguments: .Label "key". */
  methods?: Record<string, (row: T, argument: string) => unknown>;
}

/** One row, for templates: a member is computed when it is asked for. */
export class Row<T> extends TemplateObject {
  readonly goType: string;
  #type: RowType<T>;
  #row: T;
  constructor(type: RowType<T>, row: T) {
    super();
    this.goType = type.goType;
    this.#type = type;
    this.#row = row;
  }
  override readonly methodsOnly = true;
  has(name: string): boolean {
    return Object.hasOwn(this.#type.columns, name) || Object.hasOwn(this.#type.methods ?? {}, name);
  }
  member(name: string): unknown {
    if (Object.hasOwn(this.#type.columns, name)) {
      return this.#type.columns[name]!.value(this.#row);
    }
    const method = this.#type.methods?.[name];
    return method && ((argument: string) => method(this.#row, argument));
  }
  show(): string {
    return JSON.stringify(this);
  }
  toJSON(): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    for (const name of Object.keys(this.#type.columns).sort()) {
      const column = this.#type.columns[name]!;
      if (!column.hidden) out[name] = column.value(this.#row) ?? null;
    }
    return out;
  }
}

/** A default table such as "table {{.ID}}\t{{.Names}}" needs no template engine. */
const PLAIN_TABLE = /^(?:\{\{\.\w+\}\}(?:\\t)?)+$/;

/** What docker says before a template's error; `ps` says it differently. */
export interface ErrorWords {
  parse: string;
  execute: string;
  /** Positions count from the start of the format, "table" included. */
  wholeFormat?: boolean;
}
const WORDS: ErrorWords = {
  parse: "template parsing error: ",
  execute: "template parsing error: ",
};
export const PS_WORDS: ErrorWords = {
  parse: "failed to parse template: ",
  execute: "failed to execute template: ",
  wholeFormat: true,
};

/** Prints rows in `format`: "table …", "json" or a template. */
export async function printRows<T>(
  out: Output,
  type: RowType<T>,
  rows: readonly T[],
  format: string,
  words: ErrorWords = WORDS,
): Promise<void> {
  const table = format.startsWith("table");
  const body = (table ? format.slice(5) : format).replace(/^ +| +$/g, "");
  if (table && PLAIN_TABLE.test(body)) {
    out.write(plainTable(out, type, rows, { body, words }));
    return;
  }
  if (format === "json" || body === "{{json .}}") {
    const { goJson } = await import("../../template/index.ts");
    // docker escapes HTML in rows: they are maps that were encoded on their own.
    const escapeHtml = true;
    out.write(rows.map((row) => `${goJson(new Row(type, row), { escapeHtml })}\n`).join(""));
    return;
  }
  out.write(await templated(type, rows, { body, table, words }));
}

function plainTable<T>(
  out: Output,
  type: RowType<T>,
  rows: readonly T[],
  { body, words }: { body: string; words: ErrorWords },
): string {
  const names = [...body.matchAll(/\{\{\.(\w+)\}\}/g)].map((match) => match[1]!);
  for (const name of names) {
    if (Object.hasOwn(type.columns, name) || rows.length === 0) continue;
    throw unknownField(type, name, body, words);
  }
  const columns = names.map((name) => type.columns[name]);
  const titles = columns.map((column) => column?.header ?? "<no value>");
  if (out.isTerminal) {
    const cells = rows.map((row) =>
      columns.map((column) => {
        const style = column!.style?.(row);
        return { text: String(column!.value(row) ?? "<nil>"), ...(style ? { style } : {}) };
      }),
    );
    const cuts = new Set(columns.flatMap((column, at) => (column?.cut ? [at] : [])));
    const table = { titles, rows: cells, cuts };
    return terminalTable(table, paintFor(out), type.whole ? undefined : out.columns());
  }
  const lines = [titles.join("\t")];
  for (const row of rows) {
    lines.push(columns.map((column) => String(column!.value(row) ?? "<nil>")).join("\t"));
  }
  return `${alignTabs(lines.join("\n"))}\n`;
}

function unknownField<T>(
  type: RowType<T>,
  name: string,
  body: string,
  words: ErrorWords,
): GantryError {
  const source = words.wholeFormat ? `table ${body}` : body.replaceAll("\\t", "\t");
  const at = source.indexOf(`{{.${name}}}`) + 2;
  const why = `can't evaluate field ${name} in type ${type.goType}`;
  return new GantryError(
    "invalid",
    `${words.execute}template: :1:${at}: executing "" at <.${name}>: ${why}`,
  );
}

async function templated<T>(
  type: RowType<T>,
  rows: readonly T[],
  { body, table, words }: { body: string; table: boolean; words: ErrorWords },
): Promise<string> {
  const { compileTemplate } = await import("../../template/index.ts");
  const template = compile(compileTemplate, body, words);
  let out = "";
  for (const row of rows) {
    try {
      out += `${template.execute(new Row(type, row))}\n`;
    } catch (error) {
      throw new GantryError("invalid", `${words.execute}${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  if (!table) return out;
  const headers = Object.fromEntries(
    Object.entries(type.columns).map(([name, column]) => [name, column.header]),
  );
  let header = "";
  try {
    header = template.header(type.methods ? new Headers(headers, type) : headers);
  } catch {
    // A header that cannot be rendered (a function over a title) is left out.
  }
  return alignTabs(`${header}\n${out}`);
}

function compile(
  compileTemplate: typeof import("../../template/index.ts").compileTemplate,
  body: string,
  words: ErrorWords,
) {
  const source = body.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  try {
    return compileTemplate(source);
  } catch (error) {
    throw new GantryError("invalid", `${words.parse}${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** The header row: titles by name, and the last part of a label's key for .Label "key". */
class Headers extends TemplateObject {
  readonly goType = "formatter.SubHeaderContext";
  #titles: Record<string, string>;
  #methods: ReadonlySet<string>;
  constructor(titles: Record<string, string>, type: { methods?: object }) {
    super();
    this.#titles = titles;
    this.#methods = new Set(Object.keys(type.methods ?? {}));
  }
  has(): boolean {
    return true;
  }
  member(name: string): unknown {
    if (this.#methods.has(name)) {
      return (key: string) => key.split(".").at(-1)!.replace(/[-_]/g, " ");
    }
    return Object.hasOwn(this.#titles, name) ? this.#titles[name] : undefined;
  }
  show(): string {
    return `map[${Object.entries(this.#titles)
      .map(([k, v]) => `${k}:${v}`)
      .join(" ")}]`;
  }
  toJSON(): unknown {
    return this.#titles;
  }
}
