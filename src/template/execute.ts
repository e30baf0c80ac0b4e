// Runs a parsed template over a value, with Go's rules for fields, methods, maps, pipelines and
// variables, and Go's sentences for what goes wrong:
// template: :1:2: executing "" at <.Foo>: can't evaluate field Foo in type …

import { checkArgument, findField, type Method } from "./fields.ts";
import { FUNCTIONS, type TemplateFunction } from "./functions.ts";
import {
  type Command,
  type Node,
  type Operand,
  type Pipe,
  showCommand,
  showOperand,
  showPipe,
} from "./nodes.ts";
import type { ParsedTemplate } from "./parse.ts";
import { quote } from "./unquote.ts";
import {
  EvaluationError,
  Float,
  isMap,
  isTrue,
  printValue,
  showValue,
  sortedEntries,
  type TemplateObject,
  TypedNil,
  typeName,
} from "./values.ts";

const DEPTH_MAX = 1000;
const NONE = Symbol("no final argument");
type Final = unknown | typeof NONE;

export interface ExecuteOptions {
  /** What a map does for a key that it does not hold. */
  missingKey?: "default" | "error";
  functions?: Record<string, TemplateFunction>;
  /** For templates of strangers; none where the template is the caller's own. */
  limits?: TemplateLimits;
}

export interface TemplateLimits {
  /** Nodes that are run, elements that are ranged over. */
  stepsMax: number;
  outputCharactersMax: number;
}
const UNLIMITED: TemplateLimits = {
  stepsMax: Number.POSITIVE_INFINITY,
  outputCharactersMax: Number.POSITIVE_INFINITY,
};

/** Returns the template's output; throws an Error worded as Go does. */
export function executeTemplate(
  template: ParsedTemplate,
  data: unknown,
  { missingKey = "default", functions = FUNCTIONS, limits = UNLIMITED }: ExecuteOptions = {},
): string {
  const run = new Execution(template, { missingKey, functions, limits });
  try {
    run.template(template.name, data, 0);
  } catch (error) {
    if (error instanceof Error) Object.assign(error, { partialOutput: run.out });
    throw error;
  }
  return run.out;
}

class LoopControl {
  readonly kind: "break" | "continue";
  constructor(kind: "break" | "continue") {
    this.kind = kind;
  }
}

class Execution {
  out = "";
  #template: ParsedTemplate;
  #missingKey: "default" | "error";
  #functions: Record<string, TemplateFunction>;
  #limits: TemplateLimits;
  #steps = 0;
  #variables: [string, unknown][] = [];
  #name = "";
  #depth = 0;

  constructor(
    template: ParsedTemplate,
    { missingKey, functions, limits }: Required<ExecuteOptions>,
  ) {
    this.#template = template;
    this.#missingKey = missingKey;
    this.#functions = functions;
    this.#limits = limits;
  }

  #spend(steps: number): void {
    this.#steps += steps;
    const { stepsMax, outputCharactersMax } = this.#limits;
    if (this.#steps > stepsMax) throw new Error(`template: ${this.#template.name}: runs too long`);
    if (this.out.length <= outputCharactersMax) return;
    throw new Error(`template: ${this.#template.name}: its output is too long`);
  }

  template(name: string, data: unknown, at: number): void {
    const nodes = this.#template.trees.get(name);
    if (!nodes) {
      const shown = `{{template ${quote(name)}}}`;
      throw this.#fail(at, shown, `template ${quote(name)} not defined`);
    }
    if (++this.#depth > DEPTH_MAX) {
      throw this.#fail(at, name, `exceeded maximum template depth (${DEPTH_MAX})`);
    }
    const saved = { variables: this.#variables, name: this.#name };
    this.#variables = [["$", data]];
    this.#name = name;
    this.#walk(nodes, data);
    this.#variables = saved.variables;
    this.#name = saved.name;
    this.#depth--;
  }

  #fail(at: number, context: string, message: string): Error {
    const before = this.#template.source.slice(0, at);
    const lineStart = before.lastIndexOf("\n") + 1;
    const line = 1 + (before.match(/\n/g)?.length ?? 0);
    const column = Buffer.byteLength(before.slice(lineStart));
    const where = `${this.#template.name}:${line}:${column}`;
    return new Error(
      `template: ${where}: executing ${quote(this.#name)} at <${context}>: ${message}`,
    );
  }

  #walk(nodes: Node[], dot: unknown): void {
    for (const node of nodes) {
      this.#spend(1);
      switch (node.kind) {
        case "text":
          this.out += node.text;
          break;
        case "action": {
          const value = this.#pipeline(dot, node.pipe);
          if (node.pipe.variables.length > 0) break;
          if (typeof value === "function") {
            throw this.#fail(
              node.at,
              showPipe(node.pipe),
              `can't print ${showPipe(node.pipe)} of type func`,
            );
          }
          this.out += printValue(value);
          break;
        }
        case "if":
        case "with":
          this.#scoped(() => {
            const value = this.#pipeline(dot, node.pipe);
            if (isTrue(value)) this.#walk(node.body, node.kind === "with" ? value : dot);
            else if (node.otherwise) this.#walk(node.otherwise, dot);
          });
          break;
        case "range":
          this.#scoped(() => this.#range(node, dot));
          break;
        case "template":
          this.template(node.name, node.pipe ? this.#pipeline(dot, node.pipe) : undefined, node.at);
          break;
        default:
          throw new LoopControl(node.kind);
      }
    }
  }

  #scoped(work: () => void): void {
    const mark = this.#variables.length;
    try {
      work();
    } finally {
      this.#variables.length = Math.min(this.#variables.length, mark);
    }
  }

  #range(node: Extract<Node, { kind: "range" }>, dot: unknown): void {
    const value = this.#value(dot, node.pipe);
    const entries = this.#entries(value, node);
    if (entries.length === 0) {
      if (node.otherwise) this.#walk(node.otherwise, dot);
      return;
    }
    const mark = this.#variables.length;
    const names = node.pipe.variables;
    for (const [key, item] of entries) {
      if (names.length === 1) this.#setVariable(names[0]!, item, node.pipe.assign);
      if (names.length === 2) {
        this.#setVariable(names[0]!, key, node.pipe.assign);
        this.#setVariable(names[1]!, item, node.pipe.assign);
      }
      try {
        this.#walk(node.body, item);
      } catch (control) {
        if (!(control instanceof LoopControl)) throw control;
        if (control.kind === "break") break;
      }
      this.#variables.length = mark;
    }
  }

  #entries(value: unknown, node: Extract<Node, { kind: "range" }>): [unknown, unknown][] {
    if (Array.isArray(value)) return value.map((item, at) => [at, item]);
    if (value === null || value === undefined || value instanceof TypedNil) return [];
    if (typeof value === "number" && Number.isInteger(value)) {
      this.#spend(Math.max(0, value));
      return Array.from({ length: Math.max(0, value) }, (_, at) => [at, at]);
    }
    if (isMap(value)) return sortedEntries(value);
    throw this.#fail(
      node.pipe.at,
      showPipe(node.pipe),
      `range can't iterate over ${showValue(value)}`,
    );
  }

  #setVariable(name: string, value: unknown, assign: boolean): void {
    if (!assign) {
      this.#variables.push([name, value]);
      return;
    }
    const variable = this.#variables.findLast(([known]) => known === name);
    if (variable) variable[1] = value;
  }

  #pipeline(dot: unknown, pipe: Pipe): unknown {
    const value = this.#value(dot, pipe);
    for (const name of pipe.variables) this.#setVariable(name, value, pipe.assign);
    return value;
  }

  /** The pipeline's value alone: in range, its variables hold each element, not the whole. */
  #value(dot: unknown, pipe: Pipe): unknown {
    let value: Final = NONE;
    for (const command of pipe.commands) value = this.#command(dot, command, value);
    return value === NONE ? undefined : value;
  }

  #command(dot: unknown, command: Command, final: Final): unknown {
    const first = command.operands[0]!;
    const args = command.operands.slice(1);
    switch (first.kind) {
      case "field":
        return this.#fieldChain(dot, dot, first, first.names, args, final);
      case "chain":
        return this.#fieldChain(dot, this.#operand(dot, first.of), first, first.names, args, final);
      case "variable":
        return this.#variable(dot, first, args, final);
      case "function":
        return this.#function(dot, first.name, first, command, args, final);
      case "pipe":
        this.#notCallable(command, args, final);
        return this.#pipeline(dot, first);
      case "nil":
        throw this.#fail(first.at, "nil", "nil is not a command");
      default:
        this.#notCallable(command, args, final);
        return this.#operand(dot, first);
    }
  }

  #notCallable(command: Command, args: Operand[], final: Final): void {
    if (args.length === 0 && final === NONE) return;
    const first = command.operands[0]!;
    throw this.#fail(
      first.at,
      showOperand(first),
      `can't give argument to non-function ${showOperand(first)}`,
    );
  }

  #operand(dot: unknown, operand: Operand): unknown {
    switch (operand.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "bool":
      case "string":
        return operand.value;
      case "number":
        return operand.float && Number.isInteger(operand.value)
          ? new Float(Number(operand.value))
          : operand.value;
      case "pipe":
        return this.#pipeline(dot, operand);
      default:
        return this.#command(dot, { at: operand.at, operands: [operand] }, NONE);
    }
  }

  #variable(
    dot: unknown,
    operand: Extract<Operand, { kind: "variable" }>,
    args: Operand[],
    final: Final,
  ): unknown {
    const value = this.#variables.findLast(([name]) => name === operand.name)?.[1];
    if (operand.names.length === 0) {
      this.#notCallable({ at: operand.at, operands: [operand, ...args] }, args, final);
      return value;
    }
    return this.#fieldChain(dot, value, operand, operand.names, args, final);
  }

  #fieldChain(
    dot: unknown,
    receiver: unknown,
    operand: Operand,
    names: string[],
    args: Operand[],
    final: Final,
  ): unknown {
    let value = receiver;
    let before: unknown;
    names.forEach((name, at) => {
      const last = at === names.length - 1;
      // What a map holds is an interface; other values have the type that they show.
      const nested = at > 0 && isMap(before);
      before = value;
      value = this.#field(dot, value, name, operand, last ? args : [], last ? final : NONE, nested);
    });
    return value;
  }

  #field(
    dot: unknown,
    receiver: unknown,
    name: string,
    operand: Operand,
    args: Operand[],
    final: Final,
    nested: boolean,
  ): unknown {
    const found = findField(receiver, name, {
      isField: operand.kind === "field",
      nested,
      given: args.length + (final === NONE ? 0 : 1),
      missingKey: this.#missingKey,
      fail: (message) => this.#fail(operand.at, showOperand(operand), message),
    });
    if (!("method" in found)) return found.value;
    return this.#callMethod(dot, found.of, found.method, name, operand, args, final);
  }

  #callMethod(
    dot: unknown,
    receiver: TemplateObject,
    method: Method,
    name: string,
    operand: Operand,
    args: Operand[],
    final: Final,
  ): unknown {
    const values = args.map((arg) => this.#operand(dot, arg));
    if (final !== NONE) values.push(final);
    if (values.length !== method.length) {
      throw this.#fail(
        operand.at,
        showOperand(operand),
        `wrong number of args for ${name}: want ${method.length} got ${values.length}`,
      );
    }
    values.forEach((value) => {
      if (typeof value === "string") return;
      throw this.#fail(
        operand.at,
        showOperand(operand),
        `wrong type for value; expected string; got ${typeName(value)}`,
      );
    });
    return method.apply(receiver, values as string[]);
  }

  #function(
    dot: unknown,
    name: string,
    operand: Operand,
    command: Command,
    args: Operand[],
    final: Final,
  ): unknown {
    const fail = (message: string) => this.#fail(operand.at, showCommand(command), message);
    const known = this.#functions[name]!;
    const given = args.length + (final === NONE ? 0 : 1);
    const want = known.parameters.length;
    if (known.variadic ? given < want - 1 : given !== want) {
      const atLeast = known.variadic ? `at least ${want - 1}` : String(want);
      throw this.#fail(
        operand.at,
        name,
        `wrong number of args for ${name}: want ${atLeast} got ${given}`,
      );
    }
    if (name === "and" || name === "or") return this.#shortCircuit(dot, name, args, final);
    const values = args.map((arg) => this.#operand(dot, arg));
    if (final !== NONE) values.push(final);
    const checked = values.map((value, at) => {
      const parameter = known.parameters[Math.min(at, want - 1)]!;
      const problem = checkArgument(value, parameter);
      if (!problem) return value instanceof TypedNil && parameter === "strings" ? [] : value;
      const arg = args[at];
      if (arg === undefined) throw fail(problem);
      if (arg.kind === "number" || arg.kind === "string" || arg.kind === "bool") {
        const wanted = parameter === "int" ? "integer" : parameter;
        const shown = showOperand(arg);
        throw this.#fail(arg.at, shown, `expected ${wanted}; found ${shown}`);
      }
      throw this.#fail(arg.at, showOperand(arg), problem);
    });
    try {
      return (known.call as (...all: unknown[]) => unknown)(...checked);
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      throw fail(`error calling ${name}: ${error.message}`);
    }
  }

  #shortCircuit(dot: unknown, name: "and" | "or", args: Operand[], final: Final): unknown {
    let value: unknown;
    for (const arg of args) {
      value = this.#operand(dot, arg);
      if (isTrue(value) === (name === "or")) return value;
    }
    return final === NONE ? value : final;
  }
}
