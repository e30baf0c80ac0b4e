// Parser of Go's text/template language: source to a tree, with Go's sentences for mistakes
// ("template: :1: unclosed action"). Named templates (define, block) share one table.

import { lex, TemplateSyntaxError, type Token, type TokenKind } from "./lex.ts";
import type { Command, Node, Operand, Pipe } from "./nodes.ts";
import { unquote, unquoteChar } from "./unquote.ts";

export interface ParsedTemplate {
  name: string;
  source: string;
  /** Trees by name; the template's own tree is under its name. */
  trees: Map<string, Node[]>;
}

/** Parses `source`; throws an Error worded as Go does. `functions` are the known names. */
export function parseTemplate(
  name: string,
  source: string,
  functions: ReadonlySet<string>,
): ParsedTemplate {
  const parser = new Parser(source, functions);
  try {
    const trees = parser.parse(name);
    return { name, source, trees };
  } catch (error) {
    if (!(error instanceof TemplateSyntaxError)) throw error;
    const line = 1 + (source.slice(0, error.at).match(/\n/g)?.length ?? 0);
    throw new Error(`template: ${name}:${line}: ${error.message}`, { cause: error });
  }
}

type Ending = { kind: "end" | "else" | "eof"; at: number };

class Parser {
  #tokens: Iterator<Token, void>;
  #ahead: Token[] = [];
  #functions: ReadonlySet<string>;
  #variables: string[] = ["$"];
  #trees = new Map<string, Node[]>();
  #rangeDepth = 0;
  #last = 0;

  constructor(source: string, functions: ReadonlySet<string>) {
    this.#tokens = lex(source);
    this.#functions = functions;
  }

  parse(name: string): Map<string, Node[]> {
    const { nodes, ending } = this.#list(true);
    if (ending.kind !== "eof") throw this.#error(`unexpected {{${ending.kind}}}`, ending.at);
    this.#trees.set(name, nodes);
    return this.#trees;
  }

  #error(message: string, at = this.#last): TemplateSyntaxError {
    return new TemplateSyntaxError(message, at);
  }

  #next(): Token {
    const token = this.#ahead.shift() ?? this.#pull();
    this.#last = token.at;
    return token;
  }
  #pull(): Token {
    const result = this.#tokens.next();
    return result.done ? { kind: "eof", text: "", at: this.#last } : result.value;
  }
  #peek(): Token {
    this.#ahead[0] ??= this.#pull();
    return this.#ahead[0];
  }
  #skipSpace(): void {
    while (this.#peek().kind === "space") this.#next();
  }
  #nextNonSpace(): Token {
    this.#skipSpace();
    return this.#next();
  }
  #peekNonSpace(): Token {
    this.#skipSpace();
    return this.#peek();
  }
  #expect(kind: TokenKind, context: string): Token {
    const token = this.#nextNonSpace();
    if (token.kind !== kind) throw this.#unexpected(token, context);
    return token;
  }
  #unexpected(token: Token, context: string): TemplateSyntaxError {
    const shown =
      token.kind === "eof"
        ? "EOF"
        : token.kind === "keyword"
          ? `<${token.text}>`
          : JSON.stringify(token.text);
    return this.#error(`unexpected ${shown} in ${context}`, token.at);
  }

  /** Nodes up to {{end}}, {{else}} or the end of the source. */
  #list(top = false): { nodes: Node[]; ending: Ending } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#next();
      if (token.kind === "eof") {
        if (!top) throw this.#error("unexpected EOF", token.at);
        return { nodes, ending: { kind: "eof", at: token.at } };
      }
      if (token.kind === "text") {
        nodes.push({ kind: "text", at: token.at, text: token.text });
        continue;
      }
      if (token.kind !== "left") throw this.#unexpected(token, "input");
      const word = this.#peekNonSpace();
      if (word.kind === "keyword" && (word.text === "end" || word.text === "else")) {
        this.#next();
        if (word.text === "end") this.#expect("right", "end");
        return { nodes, ending: { kind: word.text, at: word.at } };
      }
      if (word.kind === "keyword" && word.text === "define") {
        this.#next();
        this.#define();
        continue;
      }
      nodes.push(this.#action());
    }
  }

  #define(): void {
    const name = this.#templateName("define clause");
    this.#expect("right", "define clause");
    this.#trees.set(
      name,
      this.#scoped(["$"], () => this.#body("define clause")),
    );
  }

  #scoped<T>(variables: string[], work: () => T): T {
    const saved = this.#variables;
    this.#variables = variables;
    try {
      return work();
    } finally {
      this.#variables = saved;
    }
  }

  #body(context: string): Node[] {
    const { nodes, ending } = this.#list();
    if (ending.kind !== "end") throw this.#error(`unexpected {{else}} in ${context}`, ending.at);
    return nodes;
  }

  #templateName(context: string): string {
    const token = this.#nextNonSpace();
    if (token.kind !== "string" && token.kind !== "rawString") {
      throw this.#unexpected(token, context);
    }
    return unquote(token.text) ?? "";
  }

  #action(): Node {
    const token = this.#peekNonSpace();
    if (token.kind !== "keyword") {
      const pipe = this.#pipeline("command", "right");
      return { kind: "action", at: token.at, pipe };
    }
    this.#next();
    switch (token.text) {
      case "if":
      case "with":
      case "range":
        return this.#control(token.text, token.at);
      case "template": {
        const at = this.#peekNonSpace().at;
        const name = this.#templateName("template clause");
        if (this.#peekNonSpace().kind === "right") {
          this.#next();
          return { kind: "template", at, name };
        }
        const pipe = this.#pipeline("template clause", "right");
        return { kind: "template", at, name, pipe };
      }
      case "block": {
        const name = this.#templateName("block clause");
        const pipe = this.#pipeline("block clause", "right");
        this.#trees.set(
          name,
          this.#scoped(["$"], () => this.#body("block clause")),
        );
        return { kind: "template", at: token.at, name, pipe };
      }
      case "break":
      case "continue":
        if (this.#rangeDepth === 0) {
          throw this.#error(`{{${token.text}}} outside {{range}}`, token.at);
        }
        this.#expect("right", `{{${token.text}}}`);
        return { kind: token.text, at: token.at };
      default:
        throw this.#unexpected(token, "command");
    }
  }

  #control(kind: "if" | "with" | "range", at: number): Node {
    return this.#scoped([...this.#variables], () => {
      const pipe = this.#pipeline(kind, "right");
      if (kind === "range") this.#rangeDepth++;
      const { nodes: body, ending } = this.#list();
      if (kind === "range") this.#rangeDepth--;
      if (ending.kind === "end") return { kind, at, pipe, body };
      const otherwise = this.#otherwise(kind);
      return { kind, at, pipe, body, otherwise };
    });
  }

  /** What follows {{else}}; "else if" and "else with" are nested and share the {{end}}. */
  #otherwise(kind: "if" | "with" | "range"): Node[] {
    const next = this.#peekNonSpace();
    const chained = next.kind === "keyword" && next.text === kind && kind !== "range";
    if (chained) {
      this.#next();
      return [this.#control(kind, next.at)];
    }
    this.#expect("right", "else");
    const { nodes, ending } = this.#list();
    if (ending.kind !== "end") throw this.#error("expected end; found {{else}}", ending.at);
    return nodes;
  }

  #pipeline(context: string, end: TokenKind): Pipe {
    const start = this.#peekNonSpace();
    const pipe: Pipe = { kind: "pipe", at: start.at, assign: false, variables: [], commands: [] };
    if (start.kind === "variable") this.#declaration(pipe, context);
    for (;;) {
      const token = this.#nextNonSpace();
      if (token.kind === end) {
        this.#checkPipeline(pipe, context);
        return pipe;
      }
      if (!STARTS_OPERAND.has(token.kind)) throw this.#unexpected(token, context);
      this.#ahead.unshift(token);
      pipe.commands.push(this.#command());
    }
  }

  #checkPipeline(pipe: Pipe, context: string): void {
    if (pipe.commands.length === 0) throw this.#error(`missing value for ${context}`);
    pipe.commands.slice(1).forEach((command, at) => {
      const first = command.operands[0]!;
      if (["bool", "dot", "nil", "number", "string"].includes(first.kind)) {
        throw this.#error(`non executable command in pipeline stage ${at + 2}`);
      }
    });
  }

  /** "$x :=", "$x =" or, in range, "$i, $x :=". */
  #declaration(pipe: Pipe, context: string): void {
    const first = this.#next();
    const space = this.#peek().kind === "space" ? this.#next() : undefined;
    const next = this.#peek();
    if (next.kind === "declare" || next.kind === "assign") {
      this.#next();
      pipe.assign = next.kind === "assign";
      this.#declare(pipe, first.text);
      return;
    }
    if (next.kind === "comma" && context === "range") {
      this.#next();
      const second = this.#nextNonSpace();
      if (second.kind !== "variable") throw this.#error("range can only initialize variables");
      const sign = this.#nextNonSpace();
      if (sign.kind !== "declare" && sign.kind !== "assign") {
        throw this.#unexpected(sign, "range");
      }
      pipe.assign = sign.kind === "assign";
      this.#declare(pipe, first.text);
      this.#declare(pipe, second.text);
      return;
    }
    this.#ahead.unshift(first, ...(space ? [space] : []));
  }

  #declare(pipe: Pipe, name: string): void {
    if (pipe.assign) this.#useVariable(name);
    else this.#variables.push(name);
    pipe.variables.push(name);
  }

  #useVariable(name: string): void {
    if (!this.#variables.includes(name)) throw this.#error(`undefined variable "${name}"`);
  }

  #command(): Command {
    const at = this.#peekNonSpace().at;
    const operands: Operand[] = [];
    for (;;) {
      this.#skipSpace();
      const operand = this.#operand();
      if (operand) operands.push(operand);
      const token = this.#next();
      if (token.kind === "space") continue;
      if (token.kind === "right" || token.kind === "rightParen") this.#ahead.unshift(token);
      else if (token.kind !== "pipe") throw this.#unexpected(token, "operand");
      break;
    }
    if (operands.length === 0) throw this.#error("empty command");
    return { at, operands };
  }

  #operand(): Operand | undefined {
    const base = this.#term();
    if (!base) return undefined;
    if (this.#peek().kind !== "field") return base;
    const at = this.#peek().at;
    const names: string[] = [];
    while (this.#peek().kind === "field") names.push(this.#next().text.slice(1));
    if (base.kind === "field") return { ...base, at, names: [...base.names, ...names] };
    if (base.kind === "variable") return { ...base, at, names: [...base.names, ...names] };
    if (["bool", "string", "number", "nil", "dot"].includes(base.kind)) {
      throw this.#error(`unexpected . after term ${JSON.stringify(termText(base))}`);
    }
    return { kind: "chain", at, of: base, names };
  }

  #term(): Operand | undefined {
    const token = this.#nextNonSpace();
    const at = token.at;
    switch (token.kind) {
      case "identifier":
        if (!this.#functions.has(token.text)) {
          throw this.#error(`function ${JSON.stringify(token.text)} not defined`, at);
        }
        return { kind: "function", at, name: token.text };
      case "dot":
        return { kind: "dot", at };
      case "nil":
        return { kind: "nil", at };
      case "variable":
        this.#useVariable(token.text);
        return { kind: "variable", at, name: token.text, names: [] };
      case "field":
        return { kind: "field", at, names: [token.text.slice(1)] };
      case "bool":
        return { kind: "bool", at, value: token.text === "true" };
      case "number":
      case "char":
        return numberOperand(token);
      case "leftParen":
        return this.#pipeline("parenthesized pipeline", "rightParen");
      case "string":
      case "rawString": {
        const value = unquote(token.text);
        if (value === undefined) throw this.#error("invalid syntax", at);
        return { kind: "string", at, text: token.text, value };
      }
      default:
        this.#ahead.unshift(token);
        return undefined;
    }
  }
}

const STARTS_OPERAND = new Set<TokenKind>([
  "bool",
  "char",
  "dot",
  "field",
  "identifier",
  "number",
  "nil",
  "rawString",
  "string",
  "variable",
  "leftParen",
]);

function termText(operand: Operand): string {
  if (operand.kind === "dot") return ".";
  if (operand.kind === "nil") return "nil";
  return "text" in operand ? operand.text : "value" in operand ? String(operand.value) : "";
}

function numberOperand(token: Token): Operand {
  const { text, at } = token;
  if (token.kind === "char") {
    const value = unquoteChar(text);
    if (value === undefined)
      throw new TemplateSyntaxError(`malformed character constant: ${text}`, at);
    return { kind: "number", at, text, value, float: false };
  }
  const plain = text.replaceAll("_", "");
  const hex = /^[-+]?0[xX]/.test(plain);
  const float = !hex && /[.eE]/.test(plain);
  const unsigned = plain.replace(/^[-+]/, "").replace(/^0(?=[0-7]+$)/, "0o");
  const value = (plain.startsWith("-") ? -1 : 1) * Number(unsigned);
  if (Number.isNaN(value))
    throw new TemplateSyntaxError(`illegal number syntax: ${JSON.stringify(text)}`, at);
  return { kind: "number", at, text, value, float };
}
