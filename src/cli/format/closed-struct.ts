// A Go struct as templates see it: fields by name, and an error for any other; what templates of
// docker's client are evaluated over where it holds structs of its own.

import { showValue, TemplateObject } from "../../template/index.ts";

export class ClosedStruct extends TemplateObject {
  readonly goType: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #promoted: Readonly<Record<string, unknown>>;
  readonly #json: unknown;

  /** `promoted`: fields of an embedded struct, which are not shown a second time. */
  constructor(
    goType: string,
    fields: Readonly<Record<string, unknown>>,
    { promoted = {}, json }: { promoted?: Readonly<Record<string, unknown>>; json?: unknown } = {},
  ) {
    super();
    this.goType = goType;
    this.#fields = fields;
    this.#promoted = promoted;
    this.#json = json ?? fields;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name) || Object.hasOwn(this.#promoted, name);
  }
  member(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : this.#promoted[name];
  }
  show(): string {
    return `{${Object.values(this.#fields).map(showValue).join(" ")}}`;
  }
  toJSON(): unknown {
    return this.#json;
  }
}
