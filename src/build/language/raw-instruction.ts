// The file cut into instructions: continuation lines joined, comments and empty lines taken out,
// bodies of here-documents attached, parser directives read. Nothing is known here of what an
// instruction means but whether it may open here-documents.

import { type Directive, directiveOf } from "./directives.ts";
import { errorAt } from "./dockerfile-error.ts";
import { type Heredoc, heredocsOf } from "./heredoc.ts";
import { type EscapeToken, isSpace } from "./shell-lexer.ts";
import { LogicalLine, type SourceRange, type SourceText } from "./source.ts";
import { takeFlags, type Word } from "./words.ts";

export interface RawInstruction {
  /** As written: "FROM", "from" … */
  keyword: string;
  line: LogicalLine;
  flags: Word[];
  rest: Word;
  heredocs: Heredoc[];
  /** The comments directly above, without `#`. */
  comments: string[];
  /** Lines of the file that are empty inside a continuation. */
  emptyContinuations: number[];
  range: SourceRange;
}

export interface RawFile {
  directives: Directive[];
  escape: EscapeToken;
  instructions: RawInstruction[];
}

/** Cuts a file into instructions. Throws errors with their place. */
export function readInstructions(source: SourceText): RawFile {
  return new Reader(source).read();
}

class Reader {
  readonly #source: SourceText;
  readonly #directives: Directive[] = [];
  readonly #instructions: RawInstruction[] = [];
  /** Lines with their line ends but the newline: what a here-document's body consists of. */
  readonly #full: string[];
  #escape: EscapeToken = "\\";
  #directivesEnded = false;
  /** Index of the next line to read. */
  #next = 0;

  constructor(source: SourceText) {
    this.#source = source;
    this.#full = source.text.split("\n");
  }

  read(): RawFile {
    let comments: string[] = [];
    const { lines } = this.#source;
    if (lines[0]?.startsWith("#!")) {
      // As BuildKit does it, only `syntax` is still looked for below it (detectSyntax).
      this.#next = 1;
      this.#directivesEnded = true;
    }
    while (this.#next < lines.length) {
      const line = lines[this.#next]!;
      const indent = indentOf(line);
      this.#directive(line.slice(indent));
      if (line[indent] === "#") {
        comments.push(line.slice(indent + 1).trim());
        this.#next++;
        continue;
      }
      if (indent === line.length) this.#next++;
      else this.#instruction(indent, comments);
      comments = [];
    }
    const { length } = this.#instructions;
    if (length === 0) {
      throw errorAt(
        { source: this.#source, range: wholeLine(1, lines[0] ?? ""), remedy: "start with FROM" },
        lines.every((line) => line === "")
          ? "the Dockerfile cannot be empty"
          : "file with no instructions",
      );
    }
    return {
      directives: this.#directives,
      escape: this.#escape,
      instructions: this.#instructions,
    };
  }

  #directive(text: string): void {
    if (this.#directivesEnded) return;
    const found = directiveOf(text);
    if (found === undefined) {
      this.#directivesEnded = true;
      return;
    }
    const line = this.#next + 1;
    const range = wholeLine(line, this.#source.lines[line - 1]!);
    if (this.#directives.some(({ name }) => name === found.name)) {
      const message = `only one ${found.name} parser directive can be used`;
      throw errorAt({ source: this.#source, range, remedy: "remove the second one" }, message);
    }
    if (found.name === "escape") {
      if (found.value !== "\\" && found.value !== "`") {
        const message = `invalid escape token '${found.value}' does not match \` or \\`;
        throw errorAt({ source: this.#source, range }, message);
      }
      this.#escape = found.value;
    }
    this.#directives.push({ ...found, line });
  }

  /** Reads one instruction with its continuation lines and here-documents. */
  #instruction(indent: number, comments: string[]): void {
    const { lines } = this.#source;
    const first = this.#next;
    const line = new LogicalLine();
    const emptyContinuations: number[] = [];
    let continues = this.#append(line, lines[this.#next++]!, indent);
    let last = first;
    while (continues && this.#next < lines.length) {
      const index = this.#next++;
      const text = lines[index]!;
      const start = indentOf(text);
      if (start === text.length) emptyContinuations.push(index + 1);
      else if (text[start] !== "#") continues = this.#append(line, text, 0);
      last = index;
    }
    if (line.text.trim() === "") return; // a lone escape character, then nothing
    const { keyword, flags, rest } = cut(line);
    const range: SourceRange = {
      start: { line: first + 1, column: indent + 1 },
      end: { line: last + 1, column: lines[last]!.length + 1 },
    };
    const raw = { keyword, line, flags, rest, comments, emptyContinuations, range, heredocs: [] };
    this.#instructions.push(raw);
    if (mayOpenHeredocs(keyword, rest.text)) this.#heredocs(raw);
  }

  /** Appends a physical line; true when it goes on in the next. */
  #append(line: LogicalLine, text: string, from: number): boolean {
    let end = text.length;
    while (end > 0 && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
    const isContinued = text[end - 1] === this.#escape && text[end - 2] !== this.#escape;
    line.append(text.slice(from, isContinued ? end - 1 : text.length), this.#next, from + 1);
    return isContinued;
  }

  #heredocs(raw: RawInstruction): void {
    for (const opening of heredocsOf(raw.line.text)) {
      const first = this.#next;
      let closed = false;
      while (!closed && this.#next < this.#source.lines.length) {
        const line = this.#source.lines[this.#next++]!;
        const text = opening.stripTabs ? line.replace(/^\t+/, "") : line;
        const { name } = opening;
        closed = text.startsWith(name) && /^\r*$/.test(text.slice(name.length));
      }
      if (!closed) {
        const remedy = `end the here-document with a line that is only ${opening.name}`;
        throw errorAt({ source: this.#source, range: raw.range, remedy }, "unterminated heredoc");
      }
      const last = this.#next - 1;
      const content = this.#full.slice(first, last).map((line) => `${line}\n`);
      const end = { line: last + 1, column: this.#source.lines[last]!.length + 1 };
      raw.heredocs.push({
        ...opening,
        content: content.join(""),
        range: { start: { line: first + 1, column: 1 }, end },
      });
      raw.range = { start: raw.range.start, end };
    }
  }
}

function indentOf(line: string): number {
  let at = 0;
  while (at < line.length && isSpace(line[at]!)) at++;
  return at;
}

function wholeLine(line: number, text: string): SourceRange {
  return { start: { line, column: 1 }, end: { line, column: text.length + 1 } };
}

/** Keyword, flags and the rest of a logical line. */
export function cut(line: LogicalLine): Pick<RawInstruction, "keyword" | "flags" | "rest"> {
  return cutAt({ text: line.text, offset: 0 });
}

/** The same for the instruction inside an ONBUILD. */
export function cutAt(word: Word): Pick<RawInstruction, "keyword" | "flags" | "rest"> {
  const indent = indentOf(word.text);
  const text = word.text.slice(indent);
  const end = text.search(/[\t\v\f\r ]/);
  const keyword = end < 0 ? text : text.slice(0, end);
  const at = end < 0 ? text.length : end;
  const args = takeFlags({ text: text.slice(at), offset: word.offset + indent + at });
  return { keyword, ...args };
}

/** RUN, COPY and ADD open here-documents, also inside ONBUILD, but not in the exec form. */
function mayOpenHeredocs(keyword: string, rest: string): boolean {
  const name = keyword.toUpperCase();
  if (name === "ONBUILD") {
    const inner = cutAt({ text: rest, offset: 0 });
    return (
      inner.keyword.toUpperCase() !== "ONBUILD" && mayOpenHeredocs(inner.keyword, inner.rest.text)
    );
  }
  if (name !== "RUN" && name !== "COPY" && name !== "ADD") return false;
  return !isExecForm(rest);
}

function isExecForm(rest: string): boolean {
  if (!rest.startsWith("[")) return false;
  try {
    return Array.isArray(JSON.parse(rest));
  } catch {
    return false;
  }
}
