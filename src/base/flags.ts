// The flag grammar of docker and dockerd (Go's spf13/pflag), exactly: `-p80:80`, `-itd`,
// `--rm=false`, `--`, repeated lists, and the same error sentences. Pure: argv in, values out.
// Shared by the command line and the daemon.

import { GantryError } from "./errors.ts";
import { type FlagType, type FlagValues, setterOf } from "./flag-types.ts";

interface Common {
  shorthand?: string; // one letter
  usage?: string;
  hidden?: boolean;
  /** Other long names for the same flag. */
  aliases?: readonly string[];
  /** A message to print when the flag is used: "Flag --x has been deprecated, …". */
  deprecated?: string;
  /** The value that `--name` without `=value` means; bool flags have "true". */
  noOptionDefault?: string;
  /** What help shows as the value's type; absent: pflag's own word. */
  valueName?: string;
}
export type FlagSpec = Common &
  (
    | { [T in keyof FlagValues]: { type: T; default?: FlagValues[T] } }[keyof FlagValues]
    | {
        type: "custom";
        /** Turns the text into a value; `previous` is set when the flag was given before. */
        parse: (text: string, previous: unknown) => unknown;
        default?: unknown;
      }
  );
/** Flags by their long name. */
export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

type ValueOf<S extends FlagSpec> = S extends { type: "custom"; parse: (...a: never[]) => infer R }
  ? R | (S extends { default: infer D } ? D : undefined)
  : S["type"] extends keyof FlagValues
    ? FlagValues[S["type"]]
    : never;
export type ParsedValues<S extends FlagSpecs> = { [K in keyof S]: ValueOf<S[K]> };

export interface ParsedFlags<S extends FlagSpecs> {
  /** Every flag's value; what was not given has its default ("", 0, false, []). */
  values: ParsedValues<S>;
  /** Long names of the flags that were given. */
  changed: ReadonlySet<string>;
  /** Positional arguments. */
  args: string[];
  /** How many positional arguments came before "--"; -1 without one. */
  argsLengthAtDash: number;
  /** "Flag --x has been deprecated, …" lines for stderr. */
  notices: string[];
}

/** Keeps the literal types of a flag table. */
export function defineFlags<const S extends FlagSpecs>(specs: S): S {
  return specs;
}

/**
 * Parses `argv`. With `interspersed: false` the first positional argument ends the flags (as
 * `docker run IMAGE …` and `docker [global flags] COMMAND` need). Throws "invalid" with pflag's
 * wording; a `--help` or `-h` that the table does not define throws with detail.help = true.
 */
export function parseFlags<S extends FlagSpecs>(
  specs: S,
  argv: readonly string[],
  { interspersed = true }: { interspersed?: boolean } = {},
): ParsedFlags<S> {
  const parser = new Parser(specs);
  parser.run(argv, interspersed);
  return {
    values: parser.values as ParsedValues<S>,
    changed: parser.changed,
    args: parser.args,
    argsLengthAtDash: parser.argsLengthAtDash,
    notices: parser.notices,
  };
}

class Parser {
  readonly values: Record<string, unknown> = {};
  readonly changed = new Set<string>();
  readonly args: string[] = [];
  readonly notices: string[] = [];
  argsLengthAtDash = -1;
  #specs: FlagSpecs;
  #byName = new Map<string, string>();
  #byLetter = new Map<string, string>();

  constructor(specs: FlagSpecs) {
    this.#specs = specs;
    for (const [name, spec] of Object.entries(specs)) {
      for (const known of [name, ...(spec.aliases ?? [])]) this.#byName.set(known, name);
      if (spec.shorthand !== undefined) this.#byLetter.set(spec.shorthand, name);
      this.values[name] = defaultOf(spec);
    }
  }

  run(argv: readonly string[], interspersed: boolean): void {
    const queue = [...argv];
    for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
      if (!word.startsWith("-") || word === "-") {
        this.args.push(word);
        if (interspersed) continue;
        this.args.push(...queue);
        return;
      }
      if (word === "--") {
        this.argsLengthAtDash = this.args.length;
        this.args.push(...queue);
        return;
      }
      if (word.startsWith("--")) this.#long(word, queue);
      else this.#letters(word.slice(1), queue);
    }
  }

  #long(word: string, queue: string[]): void {
    const body = word.slice(2);
    if (body.startsWith("-") || body.startsWith("=")) throw bad(`bad flag syntax: ${word}`);
    const equals = body.indexOf("=");
    const written = equals < 0 ? body : body.slice(0, equals);
    const name = this.#byName.get(written);
    if (name === undefined) {
      if (written === "help") throw helpRequested();
      throw bad(`unknown flag: --${written}`);
    }
    const value =
      equals >= 0 ? body.slice(equals + 1) : (impliedValue(this.#specs[name]!) ?? queue.shift());
    if (value === undefined) throw bad(`flag needs an argument: --${written}`);
    this.#set(name, value);
  }

  #letters(word: string, queue: string[]): void {
    for (let rest = word; rest !== ""; ) {
      const letter = rest.charAt(0);
      const name = this.#byLetter.get(letter);
      if (name === undefined) {
        if (letter === "h") throw helpRequested();
        throw bad(`unknown shorthand flag: '${letter}' in -${rest}`);
      }
      const written = rest.length > 2 && rest[1] === "=" ? rest.slice(2) : undefined;
      const implied = written === undefined ? impliedValue(this.#specs[name]!) : undefined;
      const value = written ?? implied ?? (rest.length > 1 ? rest.slice(1) : queue.shift());
      if (value === undefined) throw bad(`flag needs an argument: '${letter}' in -${rest}`);
      this.#set(name, value);
      if (implied === undefined) return;
      rest = rest.slice(1);
    }
  }

  #set(name: string, text: string): void {
    const spec = this.#specs[name]!;
    const previous = this.changed.has(name) ? this.values[name] : undefined;
    try {
      const parse = spec.type === "custom" ? spec.parse : setterOf(spec.type);
      this.values[name] = parse(text, previous);
    } catch (error) {
      const shown = spec.shorthand === undefined ? `--${name}` : `-${spec.shorthand}, --${name}`;
      const why = error instanceof Error ? error.message : String(error);
      throw new GantryError(
        "invalid",
        `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(shown)} flag: ${why}`,
        { cause: error, detail: { flag: name } },
      );
    }
    if (spec.deprecated !== undefined && !this.changed.has(name)) {
      this.notices.push(`Flag --${name} has been deprecated, ${spec.deprecated}`);
    }
    this.changed.add(name);
  }
}

function impliedValue(spec: FlagSpec): string | undefined {
  return spec.noOptionDefault ?? (spec.type === "bool" ? "true" : undefined);
}

function defaultOf(spec: FlagSpec): unknown {
  if (spec.default !== undefined || spec.type === "custom") return spec.default;
  return zeroOf(spec.type);
}

function zeroOf(type: FlagType): unknown {
  if (type === "bool") return false;
  if (type === "string") return "";
  if (type === "list" || type === "stringArray" || type === "stringSlice") return [];
  return type === "map" ? {} : 0;
}

function bad(message: string): GantryError {
  return new GantryError("invalid", message);
}

function helpRequested(): GantryError {
  return new GantryError("invalid", "pflag: help requested", { detail: { help: true } });
}
