// The variables of a stage as they change from instruction to instruction. A step keeps a view of
// the moment at which it stands, without a copy: files with many steps and variables stay cheap.

import { TextFault } from "./dockerfile-error.ts";
import { variablesMax } from "./limits.ts";
import type { Variables } from "./shell-lexer.ts";

/** The variables at one moment, in the order in which they were first set. */
export interface EnvironmentView extends Variables {
  /** "NAME=value". */
  entries(): string[];
  names(): string[];
}

export class Environment implements EnvironmentView {
  readonly #values = new Map<string, { moment: number; value: string }[]>();
  #moment = 0;

  set(name: string, value: string): void {
    const past = this.#values.get(name);
    const change = { moment: ++this.#moment, value };
    if (past !== undefined) past.push(change);
    else {
      if (this.#values.size >= variablesMax) {
        throw new TextFault(`a stage has more than ${variablesMax} variables`);
      }
      this.#values.set(name, [change]);
    }
  }

  /** Takes "NAME=value" entries of an image config. */
  setEntries(entries: readonly string[]): void {
    for (const entry of entries) {
      const equals = entry.indexOf("=");
      if (equals < 0) this.set(entry, "");
      else this.set(entry.slice(0, equals), entry.slice(equals + 1));
    }
  }

  get(name: string): string | undefined {
    return this.#values.get(name)?.at(-1)?.value;
  }

  names(): string[] {
    return [...this.#values.keys()];
  }

  entries(): string[] {
    return this.view().entries();
  }

  /** What is set now, whatever is set later. */
  view(): EnvironmentView {
    const moment = this.#moment;
    const values = this.#values;
    const at = (name: string) =>
      values.get(name)?.findLast((change) => change.moment <= moment)?.value;
    const names = () => [...values.keys()].filter((name) => at(name) !== undefined);
    return { get: at, names, entries: () => names().map((name) => `${name}=${at(name)}`) };
  }
}
