// Parser directives: the comments at the top of a Dockerfile that set the escape character, the
// front end and the checks. They end at the first line that is not one.

import { isSpace } from "./shell-lexer.ts";
import type { SourceText } from "./source.ts";

export interface Directive {
  name: "syntax" | "escape" | "check";
  value: string;
  line: number;
}

const KNOWN: readonly string[] = ["syntax", "escape", "check"];

/** A directive from one line, undefined when the line is not one. */
export function directiveOf(line: string, prefix = "#"): Omit<Directive, "line"> | undefined {
  if (!line.startsWith(prefix)) return undefined;
  const [, name, value] = /^\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.*)$/s.exec(
    line.slice(prefix.length),
  ) ?? [undefined, "", ""];
  const key = name.toLowerCase();
  const trimmed = value.trimEnd();
  if (!KNOWN.includes(key) || trimmed === "") return undefined;
  return { name: key as Directive["name"], value: trimmed };
}

/**
 * The front end that a file asks for, also in the forms that other languages' files use
 * (`// syntax=`, a JSON object). Gantry's own front end serves every version of docker/dockerfile.
 */
export function detectSyntax(source: SourceText): string | undefined {
  const first = source.lines[0]?.startsWith("#!") ? 1 : 0;
  for (const prefix of ["#", "//"]) {
    for (const line of source.lines.slice(first)) {
      const found = directiveOf(trimStart(line), prefix);
      if (found === undefined) break;
      if (found.name === "syntax") return found.value.split(" ", 1)[0];
    }
  }
  return syntaxInJson(source.text);
}

function syntaxInJson(text: string): string | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value = (JSON.parse(text) as { syntax?: unknown }).syntax;
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined; // not JSON, so no directive
  }
}

function trimStart(line: string): string {
  let at = 0;
  while (at < line.length && isSpace(line[at]!)) at++;
  return line.slice(at);
}
