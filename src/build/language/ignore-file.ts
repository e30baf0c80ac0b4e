// `.dockerignore`: which files of a build context are left out. The last pattern that fits a path
// or one of its folders decides; `!` takes back. A walk asks folder by folder, so that what a
// folder's name decided is not asked again below it, and whole folders can be skipped.

import { GantryError } from "../../base/index.ts";
import { TextFault } from "./dockerfile-error.ts";
import { type CompiledPattern, compilePattern } from "./ignore-pattern.ts";
import { ignoreFileBytesMax } from "./limits.ts";

export interface IgnoreRule {
  /** Cleaned: no leading slash, no `!`, no `.` or `..` that lead nowhere. */
  pattern: string;
  negated: boolean;
  /** Of the file, from 1. */
  line: number;
}

/** Reads an ignore file. Throws invalid with the line. */
export function readIgnoreFile(bytes: Uint8Array | string, name = ".dockerignore"): IgnoreRule[] {
  const text = typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes);
  if (text.length > ignoreFileBytesMax) {
    throw new GantryError("invalid", `${name} is larger than ${ignoreFileBytesMax} bytes`);
  }
  const rules: IgnoreRule[] = [];
  const lines = text.replace(/^\ufeff/, "").split("\n");
  for (const [index, written] of lines.entries()) {
    if (written.startsWith("#")) continue;
    let pattern = written.trim();
    if (pattern === "") continue;
    const negated = pattern.startsWith("!");
    if (negated) pattern = pattern.slice(1).trim();
    const detail = { file: name, line: index + 1 };
    if (pattern === "") {
      throw new GantryError("invalid", `illegal exclusion pattern: "!"`, { detail });
    }
    rules.push({ pattern: clean(pattern), negated, line: index + 1 });
  }
  return rules;
}

/** As Go's filepath.Clean, without the leading slash: patterns are seen from the context's root. */
function clean(pattern: string): string {
  const isRooted = pattern.startsWith("/");
  const parts: string[] = [];
  for (const part of pattern.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!isRooted) parts.push(part);
  }
  return parts.join("/") || (isRooted ? "/" : ".");
}

/** A folder in a walk, and which patterns fit it or a folder above it. */
export interface IgnoreFolder {
  /** "" for the root, else without a slash at its end. */
  readonly path: string;
  readonly fits: Uint8Array;
}
export interface IgnoreVerdict {
  ignored: boolean;
  /** Nothing below is taken either: the folder need not be read. */
  prune: boolean;
  folder: IgnoreFolder;
}

export class IgnoreMatcher {
  readonly #patterns: CompiledPattern[];
  readonly #lastNegated: number;
  readonly root: IgnoreFolder;

  constructor(rules: readonly IgnoreRule[], name = ".dockerignore") {
    this.#patterns = rules.map((rule) => compiled(rule, name));
    this.#lastNegated = this.#patterns.findLastIndex(({ negated }) => negated);
    this.root = { path: "", fits: new Uint8Array(rules.length) };
  }

  /** Some pattern takes files back, so that a folder's verdict does not settle its contents. */
  get hasExceptions(): boolean {
    return this.#lastNegated >= 0;
  }

  /** Whether a file `name` in a folder of the walk is left out. */
  ignoresFile(folder: IgnoreFolder, name: string): boolean {
    const path = folder.path === "" ? name : `${folder.path}/${name}`;
    for (let index = this.#patterns.length - 1; index >= 0; index--) {
      const pattern = this.#patterns[index]!;
      if (folder.fits[index] === 1 || pattern.matches(path)) return !pattern.negated;
    }
    return false;
  }

  /** Goes into a folder `name` of a folder of the walk. */
  enter(folder: IgnoreFolder, name: string): IgnoreVerdict {
    const path = folder.path === "" ? name : `${folder.path}/${name}`;
    const fits = Uint8Array.from(folder.fits);
    let last = -1;
    for (const [index, pattern] of this.#patterns.entries()) {
      if (fits[index] === 0 && pattern.matches(path)) fits[index] = 1;
      if (fits[index] === 1) last = index;
    }
    const ignored = last >= 0 && !this.#patterns[last]!.negated;
    const entered = { path, fits };
    return { ignored, prune: ignored && !this.#mayTakeBack(path, last), folder: entered };
  }

  /** Whether one path is left out, by its own name or a folder's. */
  ignores(path: string): boolean {
    const names = path.split("/").filter((name) => name !== "" && name !== ".");
    const file = names.pop();
    if (file === undefined) return false;
    let folder = this.root;
    for (const name of names) folder = this.enter(folder, name).folder;
    return this.ignoresFile(folder, file);
  }

  #mayTakeBack(folder: string, decided: number): boolean {
    for (let index = this.#lastNegated; index > decided; index--) {
      const pattern = this.#patterns[index]!;
      if (pattern.negated && pattern.mayMatchBelow(folder)) return true;
    }
    return false;
  }
}

function compiled(rule: IgnoreRule, name: string): CompiledPattern {
  try {
    return compilePattern(rule.pattern, rule.negated);
  } catch (error) {
    if (!(error instanceof TextFault)) throw error;
    const detail = { file: name, line: rule.line };
    throw new GantryError("invalid", `${name} line ${rule.line}: ${error.message}`, { detail });
  }
}
