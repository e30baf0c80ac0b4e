import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileTemplate } from "./index.ts";
import { sprintf } from "./printf.ts";
import { quote, unquote } from "./unquote.ts";

const PIECES = [
  "{{",
  "}}",
  "{{-",
  "-}}",
  ".",
  ".A",
  "$",
  "$x",
  ":=",
  "=",
  "|",
  "(",
  ")",
  '"',
  "`",
  "'",
];
const WORDS = ["if", "else", "end", "range", "with", "define", "printf", "len", "1", "-2.5", "nil"];
const source = fc
  .array(fc.oneof(fc.constantFrom(...PIECES, ...WORDS, " ", "\n"), fc.string({ maxLength: 3 })))
  .map((parts) => parts.join(""));

test("whatever is written, a template compiles or fails in Go's form", () => {
  fc.assert(
    fc.property(source, (text) => {
      try {
        compileTemplate(text).execute({ A: [1, "x", null] });
      } catch (error) {
        assert.match((error as Error).message, /^template: :\d+/);
      }
    }),
    { numRuns: 2000 },
  );
});

test("text without actions is printed as it is", () => {
  fc.assert(
    fc.property(
      fc.string().filter((text) => !text.includes("{{")),
      (text) => assert.equal(compileTemplate(text).execute(undefined), text),
    ),
  );
});

test("a quoted string reads back as itself", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) =>
      assert.equal(unquote(quote(text)), text),
    ),
  );
});

test("printf takes any format and any arguments", () => {
  const argument = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
  );
  const format = fc.array(
    fc.oneof(fc.constantFrom("%d", "%5.2f", "%-8s", "%q", "%x", "%", "%%"), fc.string()),
  );
  fc.assert(
    fc.property(format, fc.array(argument), (parts, values) => {
      assert.equal(typeof sprintf(parts.join(""), values), "string");
    }),
  );
});
