// What Go's JSON decoder says of a malformed text, because that is what people know from docker's
// warning about config.json: where it is wrong, by what stands there and what was expected.

const EOF = "unexpected EOF";
const LITERALS = ["true", "false", "null"];

class Complaint extends Error {}

/** The complaint about `text`; undefined when its first value is well formed. */
export function jsonComplaint(text: string): string | undefined {
  try {
    new Scanner(text).value("looking for beginning of value");
    return undefined;
  } catch (error) {
    if (error instanceof Complaint) return error.message;
    throw error;
  }
}

class Scanner {
  #text: string;
  #at = 0;
  constructor(text: string) {
    this.#text = text;
  }

  #peek(): string {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? "")) this.#at++;
    const c = this.#text[this.#at];
    if (c === undefined) throw new Complaint(EOF);
    return c;
  }
  #bad(context: string, c = this.#text[this.#at]): Complaint {
    if (c === undefined) return new Complaint(EOF);
    const shown = c === "'" ? "\\'" : c === '"' ? '"' : JSON.stringify(c).slice(1, -1);
    return new Complaint(`invalid character '${shown}' ${context}`);
  }

  value(context: string): void {
    const c = this.#peek();
    if (c === "{") this.#object();
    else if (c === "[") this.#array();
    else if (c === '"') this.#string();
    else if (c === "-" || /\d/.test(c)) this.#number();
    else {
      const literal = LITERALS.find((one) => one[0] === c);
      if (!literal) throw this.#bad(context);
      this.#literal(literal);
    }
  }

  #object(): void {
    this.#at++;
    if (this.#peek() === "}") {
      this.#at++;
      return;
    }
    for (;;) {
      if (this.#peek() !== '"') throw this.#bad("looking for beginning of object key string");
      this.#string();
      if (this.#peek() !== ":") throw this.#bad("after object key");
      this.#at++;
      this.value("looking for beginning of value");
      const c = this.#peek();
      this.#at++;
      if (c === "}") return;
      if (c !== ",") throw this.#bad("after object key:value pair", c);
    }
  }

  #array(): void {
    this.#at++;
    if (this.#peek() === "]") {
      this.#at++;
      return;
    }
    for (;;) {
      this.value("looking for beginning of value");
      const c = this.#peek();
      this.#at++;
      if (c === "]") return;
      if (c !== ",") throw this.#bad("after array element", c);
    }
  }

  #string(): void {
    this.#at++;
    for (;;) {
      const c = this.#text[this.#at];
      if (c === undefined) throw new Complaint(EOF);
      if (c < " ") throw this.#bad("in string literal");
      this.#at++;
      if (c === '"') return;
      if (c !== "\\") continue;
      const escaped = this.#text[this.#at];
      if (escaped === undefined) throw new Complaint(EOF);
      if (!/["\\/bfnrtu]/.test(escaped)) throw this.#bad("in string escape code");
      this.#at++;
    }
  }

  #number(): void {
    const match = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/.exec(this.#text.slice(this.#at));
    if (!match) {
      this.#at++;
      throw this.#bad("in numeric literal");
    }
    this.#at += match[0].length;
  }

  #literal(literal: string): void {
    for (const expected of literal) {
      const c = this.#text[this.#at];
      if (c !== expected) throw this.#bad(`in literal ${literal} (expecting '${expected}')`);
      this.#at++;
    }
  }
}
