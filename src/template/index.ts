// Go's text/template, for --format and for the tags of logs: parse once, run over any number of
// values.

import { type ExecuteOptions, executeTemplate } from "./execute.ts";
import { FUNCTIONS, HEADER_FUNCTIONS, type TemplateFunction } from "./functions.ts";
import { parseTemplate } from "./parse.ts";

export {
  compareBytes,
  EvaluationError,
  goJson,
  isMap,
  parseJson,
  showValue,
  TemplateObject,
  TypedNil,
} from "./values.ts";
export type { TemplateFunction };

const NAMES: ReadonlySet<string> = new Set(Object.keys(FUNCTIONS));

export interface Template {
  /** `functions` stand for those of the same names. */
  execute(data: unknown, options?: ExecuteOptions): string;
  /** The table header: functions leave the column titles alone. */
  header(data: unknown): string;
}

/** Parses a template; throws an Error in Go's words. */
export function compileTemplate(source: string, name = ""): Template {
  const parsed = parseTemplate(name, source, NAMES);
  return {
    execute: (data, { functions, ...options } = {}) =>
      executeTemplate(parsed, data, { ...options, functions: { ...FUNCTIONS, ...functions } }),
    header: (data) => executeTemplate(parsed, data, { functions: HEADER_FUNCTIONS }),
  };
}
