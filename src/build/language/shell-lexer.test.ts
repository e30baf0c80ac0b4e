// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TextFault } from "./dockerfile-error.ts";
import { expandText, type LexerOptions } from "./shell-lexer.ts";

const values = new Map([
  ["A", "value"],
  ["EMPTY", ""],
  ["PATHS", "a/b/c.tar.gz"],
  ["TWO", "x y"],
  ["stars", "a*b*c"],
  ["Ünï", "letters"],
]);
const expand = (text: string, options: LexerOptions = {}) => expandText(text, values, options);

function table(rows: readonly [input: string, expected: string][], options?: LexerOptions): void {
  for (const [input, expected] of rows) {
    assert.equal(expand(input, options).text, expected, input);
  }
}

test("variables are replaced by their values and unset ones by nothing", () => {
  table([
    ["$A", "value"],
    ["${A}", "value"],
    ["x${A}y", "xvaluey"],
    ["$NONE.", "."],
    ["$A$A", "valuevalue"],
    ["$Ünï", "letters"],
    ["$", "$"],
    ["$ x", "$ x"],
    ["$1x", "x"],
    ["cost: 5$", "cost: 5$"],
  ]);
});

test("defaults, alternates and required values look at unset and empty as a shell does", () => {
  table([
    ["${NONE:-d}", "d"],
    ["${EMPTY:-d}", "d"],
    ["${EMPTY-d}", ""],
    ["${NONE-d}", "d"],
    ["${A:-d}", "value"],
    ["${A:+set}", "set"],
    ["${EMPTY:+set}", ""],
    ["${EMPTY+set}", "set"],
    ["${NONE+set}", ""],
    ["${NONE:-${A}s}", "values"],
    ["${NONE:-'$A'}", "$A"],
    ['${NONE:-"a b"}', "a b"],
    ["${A:?no}", "value"],
    ["${EMPTY?no}", ""],
  ]);
  assert.throws(() => expand("${NONE?}"), /NONE: is not allowed to be unset/);
  assert.throws(() => expand("${EMPTY:?}"), /EMPTY: is not allowed to be empty/);
  assert.throws(() => expand("${NONE:?set NONE please}"), /NONE: set NONE please/);
});

test("prefixes and suffixes are cut by patterns, the shortest or the longest", () => {
  table([
    ["${PATHS#*/}", "b/c.tar.gz"],
    ["${PATHS##*/}", "c.tar.gz"],
    ["${PATHS%.*}", "a/b/c.tar"],
    ["${PATHS%%.*}", "a/b/c"],
    ["${PATHS#?/}", "b/c.tar.gz"],
    ["${PATHS#b}", "a/b/c.tar.gz"],
    ["${PATHS%.gz}", "a/b/c.tar"],
    ["${stars#a\\*}", "b*c"],
    ["${A#v}", "alue"],
    ["${NONE#x}", ""],
  ]);
});

test("patterns are replaced once or everywhere", () => {
  table([
    ["${PATHS/\\//-}", "a-b/c.tar.gz"],
    ["${PATHS//\\//-}", "a-b-c.tar.gz"],
    ["${A/a/A}", "vAlue"],
    ["${A//?/x}", "xxxxx"],
    ["${A/l*/}", "va"],
    ["${TWO/ /}", "xy"],
    ["${stars//\\*/+}", "a+b+c"],
    ["${A/nothing/x}", "value"],
  ]);
});

test("quotes are removed, single ones keep everything and double ones keep blanks", () => {
  table([
    ["'$A'", "$A"],
    ['"$A"', "value"],
    ['"a\'b"', "a'b"],
    ['a"b"c', "abc"],
    ['"\\$A \\" \\\\ \\x"', '$A " \\ \\x'],
    ["\\$A", "$A"],
    ["\\${A}", "${A}"],
    ["a\\ b", "a b"],
    ["end\\", "end"],
  ]);
  table(
    [
      ["`$A", "$A"],
      ["C:\\x", "C:\\x"],
    ],
    { escape: "`" },
  );
  table([["\"'$A'\"", "\"'value'\""]], { ignoreQuotes: true });
  table([["'a' \"$A\"", "'a' \"value\""]], { rawQuotes: true });
  table([["$NONE ${NONE} ${NONE:-x} $A", "$NONE ${NONE} ${NONE:-x} value"]], { keepUnset: true });
});

test("words are cut at blanks, also of values, but not inside quotes", () => {
  assert.deepEqual(expand(" a  $TWO\tz ").words, ["a", "x", "y", "z"]);
  assert.deepEqual(expand('"a b" \'c d\' e\\ f "$TWO"').words, ["a b", "c d", "e f", "x y"]);
  assert.deepEqual(expand("$NONE").words, []);
});

test("what was used and what was missing is told", () => {
  const { used, unset } = expand("$A ${NONE:-$OTHER} '$QUOTED'");
  assert.deepEqual([...used], ["A"]);
  assert.deepEqual([...unset].sort(), ["NONE", "OTHER"]);
});

test("malformed substitutions are named as the builder names them", () => {
  const faults: [string, RegExp][] = [
    ["${A", /unsupported modifier|missing '}'/],
    ["${", /missing '}'/],
    ["${}", /bad substitution/],
    ["${:x}", /bad substitution/],
    ["${{A}}", /bad substitution/],
    ["${A:-x", /missing '}'/],
    ["${A^^}", /unsupported modifier \(\^\)/],
    ["${A/b}", /missing '\/'/],
    ["${A/b/c", /missing '}'/],
    ["${A#\\x}", /invalid escape '\\x'/],
    ["'open", /single-quote/],
    ['"open', /double-quote/],
  ];
  for (const [text, message] of faults) {
    assert.throws(
      () => expand(text),
      (error) => error instanceof TextFault && message.test(error.message),
      text,
    );
  }
});

test("nesting and growth are bounded", () => {
  const deep = "${x:-".repeat(100_000) + "}".repeat(100_000);
  assert.throws(() => expand(deep), /nested more than/);
  const big = new Map([["B", "x".repeat(600_000)]]);
  assert.throws(() => expandText("$B$B", big), /grows beyond/);
});

test("costly patterns end: stars do not multiply the work", () => {
  const text = new Map([["T", "a".repeat(5000)]]);
  const pattern = `${"*a".repeat(200)}*b`;
  assert.equal(expandText(`\${T##${pattern}}`, text).text.length, 5000);
  assert.equal(expandText(`\${T//${pattern}/x}`, text).text.length, 5000);
  const large = new Map([["T", "a".repeat(500_000)]]);
  assert.throws(() => expandText(`\${T#${"a".repeat(1000)}}`, large), /too costly/);
});

const plain = fc.stringMatching(/^[a-zA-Z0-9 ._/:-]*$/);

test("a text without special characters stays as it is", () => {
  fc.assert(
    fc.property(plain, (text) => {
      assert.equal(expand(text).text, text);
      assert.deepEqual(expand(text).words, text.split(" ").filter(Boolean));
    }),
  );
});

test("what is escaped or quoted comes out as it went in", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const escaped = [...text].map((char) => `\\${char}`).join("");
      assert.equal(expand(escaped).text, text);
      const quoted = `"${text.replace(/["$\\]/g, "\\$&")}"`;
      assert.equal(expand(quoted).text, text);
      if (!text.includes("'")) assert.equal(expand(`'${text}'`).text, text);
    }),
  );
});

test("cutting a prefix or a suffix leaves the rest of the value", () => {
  const letters = fc.stringMatching(/^[abc]{0,12}$/);
  const pattern = fc.stringMatching(/^[abc*?]{0,6}$/);
  fc.assert(
    fc.property(letters, pattern, (value, glob) => {
      const regexp = (body: string) => new RegExp(body, "s");
      const body = (star: string) => glob.replaceAll("?", ".").replaceAll("*", star);
      const run = (operator: string) =>
        expandText(`\${V${operator}${glob}}`, new Map([["V", value]])).text;
      if (glob.startsWith("#") || glob.startsWith("%")) return;
      assert.equal(run("#"), value.replace(regexp(`^${body(".*?")}`), ""));
      assert.equal(run("##"), value.replace(regexp(`^${body(".*")}`), ""));
      const longest = Array.from({ length: value.length + 1 }, (_, n) => n);
      const fits = longest.filter((n) => regexp(`^${body(".*")}$`).test(value.slice(n)));
      assert.equal(run("%"), value.slice(0, fits.at(-1) ?? value.length));
      assert.equal(run("%%"), value.slice(0, fits[0] ?? value.length));
    }),
  );
});

test("whatever the text is, the lexer answers or gives a fault inside it", () => {
  const odd = fc.array(fc.constantFrom(..."$${}#%/:-+?'\"\\` \tAé*".split("")), { maxLength: 60 });
  fc.assert(
    fc.property(
      fc.oneof(
        odd.map((chars) => chars.join("")),
        fc.string(),
      ),
      (text) => {
        try {
          expand(text);
        } catch (error) {
          assert(error instanceof TextFault);
          assert(error.offset >= 0 && error.offset <= text.length);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
