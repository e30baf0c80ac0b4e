// Go's fmt verbs for the template functions print, printf and println. Source: package fmt's
// documentation; mistakes are shown in the output as Go does: %!d(string=hi), %!s(MISSING).

import { quote } from "./unquote.ts";
import { Float, showFloat, showValue, TemplateObject, typeName } from "./values.ts";

interface Spec {
  minus: boolean;
  plus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  width: number | undefined;
  precision: number | undefined;
  verb: string;
}

/** Go's own limit. */
const WIDTH_MAX = 1_000_000;

/** fmt.Sprintf. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let out = "";
  let used = 0;
  const star = () => {
    const value = args[used++];
    if (typeof value === "number" && Math.abs(value) <= WIDTH_MAX) return value;
    out += "%!(BADWIDTH)";
    return undefined;
  };
  const pattern = /%([-+# 0]*)(\*|\d+)?(?:(\.)(\*|\d+)?)?([\s\S])?|[^%]+/gu;
  for (const match of format.matchAll(pattern)) {
    if (!match[0].startsWith("%")) {
      out += match[0];
      continue;
    }
    const flags = match[1] ?? "";
    const width = match[2] === "*" ? star() : match[2] === undefined ? undefined : Number(match[2]);
    const precision =
      match[3] === undefined ? undefined : match[4] === "*" ? star() : Number(match[4] ?? 0);
    const verb = match[5];
    if (Number(match[2]) > WIDTH_MAX || Number(match[4]) > WIDTH_MAX) {
      out += "%!(NOVERB)"; // as Go, which does not read on
      break;
    }
    if (verb === undefined) out += "%!(NOVERB)";
    else if (verb === "%") out += "%";
    else if (used >= args.length) out += `%!${verb}(MISSING)`;
    else {
      const spec: Spec = {
        minus: flags.includes("-") || (width ?? 0) < 0,
        plus: flags.includes("+"),
        sharp: flags.includes("#"),
        space: flags.includes(" "),
        zero: flags.includes("0") && !flags.includes("-"),
        width: width === undefined ? undefined : Math.abs(width),
        precision,
        verb,
      };
      out += formatOne(args[used++], spec);
    }
  }
  if (used < args.length) {
    const extra = args.slice(used).map((arg) => (arg == null ? "<nil>" : describe(arg)));
    out += `%!(EXTRA ${extra.join(", ")})`;
  }
  return out;
}

function describe(value: unknown): string {
  return `${typeName(value)}=${showValue(value)}`;
}

/** fmt.Sprint: a space between operands when neither is a string. */
export function sprint(args: readonly unknown[]): string {
  let out = "";
  args.forEach((arg, at) => {
    const previous = args[at - 1];
    if (at > 0 && typeof arg !== "string" && typeof previous !== "string") out += " ";
    out += showValue(arg);
  });
  return out;
}

/** fmt.Sprintln. */
export function sprintln(args: readonly unknown[]): string {
  return `${args.map(showValue).join(" ")}\n`;
}

function formatOne(value: unknown, spec: Spec): string {
  if (spec.verb === "T") return pad(value == null ? "<nil>" : typeName(value), spec);
  if (spec.verb === "v") {
    const shown = spec.sharp ? goSyntax(value) : showVerbose(value, spec);
    return pad(spec.plus && typeof value === "number" && value >= 0 ? `+${shown}` : shown, spec);
  }
  if (value === null || value === undefined) return pad(`%!${spec.verb}(<nil>)`, spec);
  if (Array.isArray(value)) {
    return `[${value.map((item) => formatOne(item, spec)).join(" ")}]`;
  }
  if (typeof value === "boolean") {
    return spec.verb === "t" ? pad(String(value), spec) : wrong(value, spec);
  }
  if (value instanceof Float) return formatFloat(value.value, spec);
  if (typeof value === "number") {
    return Number.isInteger(value) ? formatInteger(BigInt(value), spec) : formatFloat(value, spec);
  }
  if (typeof value === "bigint") return formatInteger(value, spec);
  if (typeof value === "string") return formatString(value, spec);
  if (spec.verb === "s") return pad(showValue(value), spec);
  return wrong(value, spec);
}

function showVerbose(value: unknown, spec: Spec): string {
  if (typeof value === "string" && spec.precision !== undefined) {
    return [...value].slice(0, spec.precision).join("");
  }
  return showValue(value);
}

function goSyntax(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (value === null || value === undefined) return "interface {}(nil)";
  if (Array.isArray(value)) return `${typeName(value)}{${value.map(goSyntax).join(", ")}}`;
  if (typeof value !== "object" || value instanceof TemplateObject) return showValue(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${typeName(value)}{${entries.map(([k, v]) => `${quote(k)}:${goSyntax(v)}`).join(", ")}}`;
}

function wrong(value: unknown, spec: Spec): string {
  return `%!${spec.verb}(${describe(value)})`;
}

function formatString(value: string, spec: Spec): string {
  const cut = spec.precision === undefined ? value : [...value].slice(0, spec.precision).join("");
  switch (spec.verb) {
    case "s":
      return pad(cut, spec);
    case "q":
      return pad(spec.sharp && !cut.includes("`") ? `\`${cut}\`` : quote(cut), spec);
    case "x":
      return pad(Buffer.from(cut).toString("hex"), spec);
    case "X":
      return pad(Buffer.from(cut).toString("hex").toUpperCase(), spec);
    default:
      return wrong(value, spec);
  }
}

const RADIX: Record<string, [number, string]> = {
  d: [10, ""],
  b: [2, "0b"],
  o: [8, "0"],
  O: [8, "0o"],
  x: [16, "0x"],
  X: [16, "0X"],
};

function formatInteger(value: bigint, spec: Spec): string {
  if (spec.verb === "c") return pad(rune(value), spec);
  if (spec.verb === "q") return pad(`'${rune(value)}'`, spec);
  if (spec.verb === "U") {
    return pad(`U+${value.toString(16).toUpperCase().padStart(4, "0")}`, spec);
  }
  const radix = RADIX[spec.verb];
  if (!radix) return wrong(Number(value), spec);
  let digits = (value < 0n ? -value : value).toString(radix[0]);
  if (spec.verb === "X") digits = digits.toUpperCase();
  if (spec.precision !== undefined) digits = digits.padStart(spec.precision, "0");
  if ((spec.sharp && spec.verb !== "d") || spec.verb === "O") digits = radix[1] + digits;
  return padNumber(digits, value < 0n, spec);
}

/** What is no code point prints as the replacement character. */
function rune(value: bigint): string {
  return value < 0n || value > 0x10ffffn ? "\uFFFD" : String.fromCodePoint(Number(value));
}

function formatFloat(value: number, spec: Spec): string {
  const magnitude = Math.abs(value);
  const precision = spec.precision ?? 6;
  let digits: string;
  if (!Number.isFinite(value)) digits = Number.isNaN(value) ? "NaN" : "Inf";
  else if (spec.verb === "f" || spec.verb === "F") digits = magnitude.toFixed(precision);
  else if (spec.verb === "e" || spec.verb === "E") digits = exponent(magnitude, precision);
  else if (spec.verb === "g" || spec.verb === "G") {
    digits =
      spec.precision === undefined
        ? showFloat(magnitude)
        : general(magnitude, Math.max(1, spec.precision));
  } else return wrong(new Float(value), spec);
  return padNumber(
    spec.verb === "E" || spec.verb === "G" ? digits.toUpperCase() : digits,
    value < 0,
    spec,
  );
}

function exponent(value: number, precision: number): string {
  return value.toExponential(precision).replace(/e([+-])(\d)$/, "e$10$2");
}

function general(value: number, precision: number): string {
  const power = value === 0 ? 0 : Number(value.toExponential(precision - 1).split("e")[1]);
  if (power < -4 || power >= precision) {
    return exponent(value, precision - 1).replace(/\.?0+e/, "e");
  }
  const fixed = value.toFixed(Math.max(0, precision - 1 - power));
  return fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
}

function padNumber(digits: string, negative: boolean, spec: Spec): string {
  const sign = negative ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  if (spec.zero && spec.width !== undefined) {
    return sign + digits.padStart(spec.width - sign.length, "0");
  }
  return pad(sign + digits, { ...spec, zero: false });
}

function pad(text: string, spec: Spec): string {
  if (spec.width === undefined) return text;
  const missing = spec.width - [...text].length;
  if (missing <= 0) return text;
  if (spec.minus) return text + " ".repeat(missing);
  return (spec.zero ? "0" : " ").repeat(missing) + text;
}
