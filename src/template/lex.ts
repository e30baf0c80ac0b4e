// Tokens of Go's text/template language. Spec: https://pkg.go.dev/text/template; positions are
// offsets into the source, because Go's error messages show line and column.

export type TokenKind =
  | "text"
  | "left"
  | "right"
  | "identifier"
  | "field"
  | "variable"
  | "dot"
  | "keyword"
  | "bool"
  | "nil"
  | "number"
  | "char"
  | "string"
  | "rawString"
  | "declare"
  | "assign"
  | "pipe"
  | "leftParen"
  | "rightParen"
  | "comma"
  | "space"
  | "other"
  | "eof";
export interface Token {
  kind: TokenKind;
  text: string;
  at: number;
}

/** A failure to parse, with the offset where it was noticed. */
export class TemplateSyntaxError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.name = "TemplateSyntaxError";
    this.at = at;
  }
}

const KEYWORDS = new Set([
  "block",
  "break",
  "continue",
  "define",
  "else",
  "end",
  "if",
  "range",
  "template",
  "with",
]);
const SPACE = /[ \t\r\n]/;
const WORD = /[\p{L}\p{Nd}_]/u;

/** Yields tokens lazily, so that the first mistake in reading order is the one reported. */
export function* lex(source: string): Generator<Token, void, void> {
  let at = 0;
  for (;;) {
    const open = source.indexOf("{{", at);
    let text = open < 0 ? source.slice(at) : source.slice(at, open);
    const trimAfter = open >= 0 && source[open + 2] === "-" && SPACE.test(source[open + 3] ?? "");
    if (trimAfter) text = text.replace(/[ \t\r\n]+$/, "");
    if (text !== "") yield { kind: "text", text, at };
    if (open < 0) break;
    let inside = open + 2 + (trimAfter ? 2 : 0);
    if (source.startsWith("/*", inside)) {
      at = skipComment(source, inside);
      continue;
    }
    yield { kind: "left", text: "{{", at: open };
    inside = yield* lexAction(source, inside);
    at = inside;
  }
  yield { kind: "eof", text: "", at: source.length };
}

function skipComment(source: string, start: number): number {
  const end = source.indexOf("*/", start);
  if (end < 0) throw new TemplateSyntaxError("unclosed comment", start);
  let after = end + 2;
  const trim = SPACE.test(source[after] ?? "") && source[after + 1] === "-";
  if (trim) after += 2;
  if (!source.startsWith("}}", after)) {
    throw new TemplateSyntaxError("comment ends before closing delimiter", start);
  }
  after += 2;
  return trim ? skipSpace(source, after) : after;
}

function skipSpace(source: string, at: number): number {
  let next = at;
  while (next < source.length && SPACE.test(source[next]!)) next++;
  return next;
}

/** Tokens of one action; returns the offset behind its right delimiter. */
function* lexAction(source: string, start: number): Generator<Token, number, void> {
  let parens = 0;
  for (let at = start; ; ) {
    const trimmed = SPACE.test(source[at] ?? "") && source.startsWith("-}}", at + 1);
    if (trimmed || source.startsWith("}}", at)) {
      if (parens > 0) throw new TemplateSyntaxError("unclosed left paren", at);
      const end = at + (trimmed ? 4 : 2);
      yield { kind: "right", text: "}}", at };
      return trimmed ? skipSpace(source, end) : end;
    }
    const token = nextToken(source, at);
    if (token.kind === "leftParen") parens++;
    if (token.kind === "rightParen" && --parens < 0) {
      throw new TemplateSyntaxError("unexpected right paren", at);
    }
    yield token;
    at += token.text.length;
  }
}

const SINGLE: Record<string, TokenKind> = {
  "|": "pipe",
  "(": "leftParen",
  ")": "rightParen",
  ",": "comma",
  "=": "assign",
};

function nextToken(source: string, at: number): Token {
  const c = source[at];
  if (c === undefined) throw new TemplateSyntaxError("unclosed action", at);
  if (SPACE.test(c)) {
    let end = at;
    // A space before "-}}" belongs to the delimiter.
    while (end < source.length && SPACE.test(source[end]!)) {
      if (end > at && source.startsWith("-}}", end + 1)) break;
      end++;
    }
    return { kind: "space", text: source.slice(at, end), at };
  }
  if (source.startsWith(":=", at)) return { kind: "declare", text: ":=", at };
  if (c === ":") throw new TemplateSyntaxError("expected :=", at);
  const single = SINGLE[c];
  if (single) return { kind: single, text: c, at };
  if (c === '"') return quoted(source, at);
  if (c === "`") {
    const end = source.indexOf("`", at + 1);
    if (end < 0) throw new TemplateSyntaxError("unterminated raw quoted string", at);
    return { kind: "rawString", text: source.slice(at, end + 1), at };
  }
  if (c === "'") return charConstant(source, at);
  if (c === "$") return word(source, at, "variable");
  if (c === "." && !/[0-9]/.test(source[at + 1] ?? "")) return word(source, at, "field");
  if (/[-+.0-9]/.test(c)) return number(source, at);
  if (WORD.test(c)) return word(source, at, "identifier");
  if (/[!-~]/.test(c)) return { kind: "other", text: c, at };
  const code = source.codePointAt(at)!;
  const hex = code.toString(16).toUpperCase().padStart(4, "0");
  throw new TemplateSyntaxError(
    `unrecognized character in action: U+${hex} '${String.fromCodePoint(code)}'`,
    at,
  );
}

function quoted(source: string, at: number): Token {
  for (let end = at + 1; end < source.length && source[end] !== "\n"; end++) {
    if (source[end] === "\\") end++;
    else if (source[end] === '"') return { kind: "string", text: source.slice(at, end + 1), at };
  }
  throw new TemplateSyntaxError("unterminated quoted string", at);
}

function charConstant(source: string, at: number): Token {
  for (let end = at + 1; end < source.length && source[end] !== "\n"; end++) {
    if (source[end] === "\\") end++;
    else if (source[end] === "'") return { kind: "char", text: source.slice(at, end + 1), at };
  }
  throw new TemplateSyntaxError("unterminated character constant", at);
}

function number(source: string, at: number): Token {
  const match =
    /^[-+]?(?:0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7_]+|(?:[0-9][0-9_]*)?\.?[0-9_]*(?:e[-+]?[0-9_]+)?)/.exec(
      source.slice(at),
    );
  const text = match?.[0] ?? "";
  const after = source[at + text.length];
  if (!/[0-9]/.test(text) || (after !== undefined && WORD.test(after))) {
    const shown = text + (after ?? "");
    throw new TemplateSyntaxError(`bad number syntax: ${JSON.stringify(shown)}`, at);
  }
  return { kind: "number", text, at };
}

function word(source: string, at: number, kind: "identifier" | "field" | "variable"): Token {
  let end = at + 1;
  while (end < source.length && WORD.test(source[end]!)) end++;
  const text = source.slice(at, end);
  const after = source[end];
  if (after !== undefined && !/[ \t\r\n.,|:=()]/.test(after) && !source.startsWith("}}", end)) {
    const code = source.codePointAt(end)!;
    const hex = code.toString(16).toUpperCase().padStart(4, "0");
    throw new TemplateSyntaxError(`bad character U+${hex} '${String.fromCodePoint(code)}'`, at);
  }
  if (kind === "field") return { kind: text === "." ? "dot" : "field", text, at };
  if (kind === "variable") return { kind, text, at };
  if (KEYWORDS.has(text)) return { kind: "keyword", text, at };
  if (text === "true" || text === "false") return { kind: "bool", text, at };
  return { kind: text === "nil" ? "nil" : "identifier", text, at };
}
