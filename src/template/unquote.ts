// Go's quoted strings: strconv.Unquote for template literals and strconv.Quote for %q.

const SIMPLE: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

/** The value of a "quoted" or `raw` Go string literal; undefined when it is malformed. */
export function unquote(literal: string): string | undefined {
  if (literal.startsWith("`")) return literal.slice(1, -1).replaceAll("\r", "");
  return withoutEscapes(literal.slice(1, -1), '"');
}

/** The code point of a Go character literal. */
export function unquoteChar(literal: string): number | undefined {
  const text = withoutEscapes(literal.slice(1, -1), "'");
  if (text === undefined || [...text].length !== 1) return undefined;
  return text.codePointAt(0);
}

function withoutEscapes(body: string, quote: string): string | undefined {
  let bad = false;
  const text = body.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([\s\S])|$)/g,
    (_all, hex?: string, u4?: string, u8?: string, octal?: string, simple?: string) => {
      const code = hex ?? u4 ?? u8;
      if (code !== undefined) return String.fromCodePoint(Number.parseInt(code, 16));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const value = simple === undefined ? undefined : SIMPLE[simple];
      if (value === undefined || ((simple === "'" || simple === '"') && simple !== quote))
        bad = true;
      return value ?? "";
    },
  );
  return bad ? undefined : text;
}

/** Go's %q: a double-quoted string with non-printable characters escaped. */
export function quote(text: string): string {
  let out = '"';
  for (const c of text) {
    const code = c.codePointAt(0)!;
    if (c === '"' || c === "\\") out += `\\${c}`;
    else if (code === 7) out += "\\a";
    else if (code === 8) out += "\\b";
    else if (code === 12) out += "\\f";
    else if (code === 10) out += "\\n";
    else if (code === 13) out += "\\r";
    else if (code === 9) out += "\\t";
    else if (code === 11) out += "\\v";
    else if (code < 32 || code === 127) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (
      /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/u.test(c) ||
      (c !== " " && /\p{Zs}/u.test(c))
    ) {
      out +=
        code > 0xffff
          ? `\\U${code.toString(16).padStart(8, "0")}`
          : `\\u${code.toString(16).padStart(4, "0")}`;
    } else out += c;
  }
  return `${out}"`;
}
