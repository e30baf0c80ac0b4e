// Words and variables as the builder's own lexer reads them: quotes, the escape character, $name
// and every ${…} operator. It is not a shell: it knows no globs, no command substitution. Work is
// in proportion to the text; nesting and growth are bounded (limits.ts).

import { TextFault } from "./dockerfile-error.ts";
import { expandedCharsMax, expansionDepthMax } from "./limits.ts";
import { replacePattern, trimPrefix, trimSuffix } from "./shell-pattern.ts";

export type EscapeToken = "\\" | "`";

/** Values by name. A name that is absent is unset. */
export interface Variables {
  get(name: string): string | undefined;
}

export interface LexerOptions {
  escape?: EscapeToken;
  /** Quotes stay in the text. */
  rawQuotes?: boolean;
  /** The escape character stays in the text. */
  rawEscapes?: boolean;
  /** Quotes are ordinary characters (bodies of here-documents). */
  ignoreQuotes?: boolean;
  /** What is unset stays as it was written. */
  keepUnset?: boolean;
}

export interface Expansion {
  text: string;
  /** The text cut at blanks outside quotes; blanks that came with a variable's value cut too. */
  words: string[];
  used: Set<string>;
  unset: Set<string>;
}

const SPACE = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const ASCII_NAME = /[A-Za-z0-9_]/;
const OTHER_NAME = /[\p{L}\p{Nd}]/u;
const SPECIAL = "@*#?-$!0";

/** White space as Go's unicode.IsSpace has it. */
export function isSpace(char: string): boolean {
  return SPACE.test(char);
}

/** Expands one text. Throws a TextFault with the lexer's wording. */
export function expandText(
  text: string,
  variables: Variables,
  options: LexerOptions = {},
): Expansion {
  const lexer = new Lexer(text, variables, options);
  const { result, words } = lexer.run();
  return { text: result, words, used: lexer.used, unset: lexer.unset };
}

class Words {
  readonly #done: string[] = [];
  #word = "";
  #inWord = false;

  addRaw(text: string): void {
    this.#word += text;
    this.#inWord = true;
  }

  addChar(char: string): void {
    if (!isSpace(char)) this.addRaw(char);
    else if (this.#inWord && this.#word !== "") this.#cut();
  }

  addSplit(text: string): void {
    if (!SPACE.test(text)) {
      if (text !== "") this.addRaw(text);
      return;
    }
    for (const char of text) this.addChar(char);
  }

  take(): string[] {
    if (this.#word !== "") this.#cut();
    return this.#done;
  }

  #cut(): void {
    this.#done.push(this.#word);
    this.#word = "";
    this.#inWord = false;
  }
}

class Lexer {
  readonly used = new Set<string>();
  readonly unset = new Set<string>();
  readonly #text: string;
  readonly #variables: Variables;
  readonly #o: LexerOptions;
  readonly #escape: string;
  #at = 0;
  #depth = 0;

  constructor(text: string, variables: Variables, options: LexerOptions) {
    this.#text = text;
    this.#variables = variables;
    this.#o = options;
    this.#escape = options.escape ?? "\\";
  }

  run(): { result: string; words: string[] } {
    try {
      return this.#until(undefined, this.#o.rawEscapes ?? false);
    } catch (error) {
      if (!(error instanceof TextFault)) throw error;
      const shown = JSON.stringify(shorten(this.#text));
      throw new TextFault(`failed to process ${shown}: ${error.message}`, error.offset);
    }
  }

  /** Reads up to `stop`, which is consumed, or to the end. */
  #until(stop: string | undefined, rawEscapes: boolean): { result: string; words: string[] } {
    if (++this.#depth > expansionDepthMax) {
      throw this.#fault(`substitutions are nested more than ${expansionDepthMax} deep`);
    }
    let result = "";
    const words = new Words();
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]!;
      if (char === stop) {
        this.#at++;
        this.#depth--;
        return { result, words: words.take() };
      }
      if (char === "$") {
        const value = this.#dollar();
        result += value;
        words.addSplit(value);
      } else if (!this.#o.ignoreQuotes && (char === "'" || char === '"')) {
        const value = char === "'" ? this.#singleQuoted() : this.#doubleQuoted(rawEscapes);
        result += value;
        words.addRaw(value);
      } else if (char === this.#escape) {
        const value = this.#escaped(rawEscapes);
        result += value;
        if (value !== "") words.addRaw(value);
      } else {
        this.#at++;
        result += char;
        words.addChar(char);
      }
      if (result.length > expandedCharsMax) throw this.#tooLong();
    }
    if (stop !== undefined) {
      throw this.#fault(`unexpected end of statement while looking for matching ${stop}`);
    }
    this.#depth--;
    return { result, words: words.take() };
  }

  /** An escape makes the next character ordinary; at the end of the text it vanishes. */
  #escaped(rawEscapes: boolean): string {
    const kept = rawEscapes ? this.#escape : "";
    const next = this.#text[this.#at + 1];
    this.#at += next === undefined ? 1 : 2;
    return kept + (next ?? "");
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) {
      const wanted = "unexpected end of statement while looking for matching single-quote";
      throw this.#fault(wanted);
    }
    const inner = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return this.#o.rawQuotes ? `'${inner}'` : inner;
  }

  #doubleQuoted(rawEscapes: boolean): string {
    const start = this.#at++;
    const quote = this.#o.rawQuotes ? '"' : "";
    let result = quote;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) {
        this.#at = start;
        const wanted = "unexpected end of statement while looking for matching double-quote";
        throw this.#fault(wanted);
      }
      if (char === '"') {
        this.#at++;
        return result + quote;
      }
      if (char === "$") {
        result += this.#dollar();
        continue;
      }
      this.#at++;
      if (char !== this.#escape) {
        result += char;
        continue;
      }
      if (rawEscapes) result += char;
      const next = this.#text[this.#at];
      if (next === undefined) continue;
      if (next === '"' || next === "$" || next === this.#escape) {
        this.#at++;
        result += next;
      } else result += char;
    }
  }

  #dollar(): string {
    const start = this.#at++;
    if (this.#text[this.#at] !== "{") {
      const name = this.#name();
      if (name === "") return "$";
      const value = this.#value(name);
      if (value === undefined && this.#o.keepUnset) return `$${name}`;
      return value ?? "";
    }
    this.#at++;
    const first = this.#text[this.#at];
    if (first === undefined) throw this.#fault("syntax error: missing '}'", start);
    if (first === "{" || first === "}" || first === ":") {
      throw this.#fault("syntax error: bad substitution", start);
    }
    const name = this.#name();
    const operator = this.#text[this.#at++];
    if (operator === "}") {
      const value = this.#value(name);
      if (value === undefined && this.#o.keepUnset) return `\${${name}}`;
      return value ?? "";
    }
    if (operator === "/") return this.#replacement(name, start);
    return this.#modified(name, operator, start);
  }

  #modified(name: string, operator: string | undefined, start: number): string {
    const orEmpty = operator === ":";
    const kind = orEmpty ? this.#text[this.#at++] : operator;
    const written = orEmpty ? `:${kind ?? ""}` : (kind ?? "");
    if (kind === undefined) throw this.#fault("syntax error: missing '}'", start);
    if (!"+-?#%".includes(kind)) {
      throw this.#fault(`unsupported modifier (${written}) in substitution`, start);
    }
    const isPattern = kind === "#" || kind === "%";
    const word = this.#operand("}", isPattern, start, "syntax error: missing '}'");
    const value = this.#value(name);
    if (value === undefined && this.#o.keepUnset) return `\${${name}${written}${word}}`;
    const isMissing = value === undefined || (orEmpty && value === "");
    switch (kind) {
      case "-":
        return isMissing ? word : value;
      case "+":
        return isMissing ? "" : word;
      case "?": {
        if (!isMissing) return value;
        const state = value === undefined ? "unset" : "empty";
        throw this.#fault(`${name}: ${word || `is not allowed to be ${state}`}`, start);
      }
      default: {
        const longest = word.startsWith(kind);
        const pattern = longest ? word.slice(1) : word;
        const trim = kind === "%" ? trimSuffix : trimPrefix;
        return trim(value ?? "", pattern, longest);
      }
    }
  }

  #replacement(name: string, start: number): string {
    const all = this.#text[this.#at] === "/";
    if (all) this.#at++;
    const missing = "syntax error: missing '/' in $" + "{}";
    const pattern = this.#operand("/", true, start, missing);
    const replacement = this.#operand("}", true, start, "syntax error: missing '}'");
    const value = this.#value(name);
    if (value === undefined && this.#o.keepUnset) {
      return `\${${name}/${all ? "/" : ""}${pattern}/${replacement}}`;
    }
    const result = replacePattern(value ?? "", pattern, replacement, all);
    if (result.length > expandedCharsMax) throw this.#tooLong();
    return result;
  }

  #operand(stop: string, rawEscapes: boolean, start: number, missing: string): string {
    try {
      return this.#until(stop, rawEscapes).result;
    } catch (error) {
      const isEnd = error instanceof TextFault && this.#at >= this.#text.length;
      throw isEnd ? this.#fault(missing, start) : error;
    }
  }

  /** A name, a number, or one of the shell's special parameters. */
  #name(): string {
    const start = this.#at;
    const first = this.#text[start];
    if (first === undefined) return "";
    if (first >= "0" && first <= "9") {
      while (/[0-9]/.test(this.#text[this.#at] ?? "")) this.#at++;
      return this.#text.slice(start, this.#at);
    }
    if (SPECIAL.includes(first)) {
      this.#at++;
      return first;
    }
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) break;
      if (ASCII_NAME.test(char)) this.#at++;
      else if (char > "\x7f") {
        const point = String.fromCodePoint(this.#text.codePointAt(this.#at)!);
        if (!OTHER_NAME.test(point)) break;
        this.#at += point.length;
      } else break;
    }
    return this.#text.slice(start, this.#at);
  }

  #value(name: string): string | undefined {
    const value = this.#variables.get(name);
    (value === undefined ? this.unset : this.used).add(name);
    return value;
  }

  #fault(message: string, at = this.#at): TextFault {
    return new TextFault(message, Math.min(at, Math.max(0, this.#text.length - 1)), 1);
  }

  #tooLong(): TextFault {
    return this.#fault(`a word grows beyond ${expandedCharsMax} characters when expanded`);
  }
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
