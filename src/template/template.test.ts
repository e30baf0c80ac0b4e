import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTemplate, goJson, parseJson, TypedNil } from "./index.ts";

const data = {
  S: "héllo",
  N: 3,
  Z: null,
  L: ["x", "y", "z"],
  E: [],
  M: { z: 1, a: 2 },
  D: { A: { B: [10, 20] } },
  T: true,
  P: new TypedNil("pointer", "*thing"),
};
const run = (source: string) => compileTemplate(source).execute(data);
const failure = (source: string, missingKey: "default" | "error" = "default") => {
  try {
    compileTemplate(source).execute(data, { missingKey });
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

/** [template, output] */
const OUTPUTS: [string, string][] = [
  ["plain", "plain"],
  ["{{.S}} {{.N}} {{.T}}", "héllo 3 true"],
  ["{{.L}} {{.M}} {{.D}}", "[x y z] map[a:2 z:1] map[A:map[B:[10 20]]]"],
  ["{{.Z}} {{.Missing}} {{.P}}", "<no value> <no value> <nil>"],
  ["{{range .L}}{{.}},{{end}}", "x,y,z,"],
  ["{{range $i, $e := .L}}{{$i}}{{$e}}{{end}}", "0x1y2z"],
  ["{{range $k, $v := .M}}{{$k}}={{$v}};{{end}}", "a=2;z=1;"],
  ["{{range .E}}x{{else}}empty{{end}}", "empty"],
  ["{{range 3}}{{.}}{{end}}", "012"],
  ['{{range .L}}{{if eq . "y"}}{{break}}{{end}}{{.}}{{end}}', "x"],
  ['{{range .L}}{{if eq . "y"}}{{continue}}{{end}}{{.}}{{end}}', "xz"],
  ["{{with .S}}{{.}}{{end}}{{with .Z}}no{{else}}none{{end}}", "héllonone"],
  ["{{if .E}}a{{else if .L}}b{{else}}c{{end}}", "b"],
  ["{{with $x := .N}}{{$x}}{{$.S}}{{end}}", "3héllo"],
  ["{{$x := 1}}{{range .L}}{{$x = .}}{{end}}{{$x}}", "z"],
  ['{{index .L 1}} {{index .M "a"}} {{index .D "A" "B" 1}}', "y 2 20"],
  ["{{slice .S 0 1}}{{slice .L 1}}{{slice .L 0 2}}", "h[y z][x y]"],
  ["{{len .S}} {{len .L}} {{len .M}}", "6 3 2"],
  [
    "{{eq .N 3}} {{eq .N 1 2 3}} {{ne .N 3}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 3 2}}",
    "true true false true true false true",
  ],
  ["{{and .N .S}} {{and .E .Boom.Bang}} {{or .Z .S}} {{not .E}}", "héllo [] héllo true"],
  ['{{print 1 2}} {{print "a" 1 2 "b"}} {{println 1 2}}', "1 2 a1 2b 1 2\n"],
  [
    '{{printf "%d %5d|%-5d|%05d %x %o %b %c %U" 1 2 3 4 255 8 5 65 65}}',
    "1     2|3    |00004 ff 10 101 A U+0041",
  ],
  [
    '{{printf "%s %q %10s|%-6s|%.2s %x" "a" "b\\n" "c" "d" "efg" "hi"}}',
    'a "b\\n"          c|d     |ef 6869',
  ],
  [
    '{{printf "%.2f %6.1f %e %g %v" 3.14159 2.5 1500.0 0.000001 1.0}}',
    "3.14    2.5 1.500000e+03 1e-06 1",
  ],
  ['{{printf "%t %v %T %%" true .L .S}}', "true [x y z] string %"],
  [
    '{{printf "%d" "a"}} {{printf "%s" 1}} {{printf "%d"}} {{printf "x" 1}}',
    "%!d(string=a) %!s(int=1) %!d(MISSING) x%!(EXTRA int=1)",
  ],
  [
    '{{html "<a href=\'x\'>"}} {{js "\'\\""}} {{urlquery "a b/c"}}',
    "&lt;a href=&#39;x&#39;&gt; \\'\\\" a+b%2Fc",
  ],
  ['{{json .M}} {{json .Z}} {{json "<&>"}}', '{"z":1,"a":2} null "<&>"'],
  [
    '{{join .L "-"}} {{split "a,b" ","}} {{upper "a"}}{{lower "B"}} {{title "ab cd"}}',
    "x-y-z [a b] Ab Ab Cd",
  ],
  ['{{pad "x" 1 2}}| {{truncate "abc" 2}} {{truncate "abc" 9}}', " x  | ab abc"],
  ['{{.S | upper | printf "%s %s" "a"}}', "a HÉLLO"],
  ['{{(index .D "A").B}} {{(.S)}}', "[10 20] héllo"],
  ['{{define "t"}}<{{.}}>{{end}}{{template "t" .N}}{{template "t"}}', "<3><<no value>>"],
  ['{{block "b" .N}}{{.}}{{end}}', "3"],
  ["a {{- 1 -}} b {{- /* c */ -}} c", "a1bc"],
  ["{{/* comment */}}x", "x"],
  [
    "{{`a\\n`}} {{\"a\\tb\\u00e9\"}} {{'x'}} {{0x1F}} {{1_000}} {{-5}}",
    "a\\n a\tbé 120 31 1000 -5",
  ],
];
for (const [source, output] of OUTPUTS) {
  test(`template ${JSON.stringify(source)} prints what Go prints`, () => {
    assert.equal(run(source), output);
  });
}

/** [template, error] */
const ERRORS: [string, string][] = [
  ["{{.S", "template: :1: unclosed action"],
  ["x\n{{nope}}", 'template: :2: function "nope" not defined'],
  ["{{if .S}}", "template: :1: unexpected EOF"],
  ["{{end}}", "template: :1: unexpected {{end}}"],
  ["{{if}}{{end}}", "template: :1: missing value for if"],
  ["{{$x}}", 'template: :1: undefined variable "$x"'],
  ["{{/* x", "template: :1: unclosed comment"],
  ['{{"x}}', "template: :1: unterminated quoted string"],
  ["{{break}}", "template: :1: {{break}} outside {{range}}"],
  [
    "{{.N.X}}",
    'template: :1:4: executing "" at <.N.X>: can\'t evaluate field X in type interface {}',
  ],
  ["{{len .N}}", 'template: :1:2: executing "" at <len .N>: error calling len: len of type int'],
  [
    "{{index .L 9}}",
    'template: :1:2: executing "" at <index .L 9>: error calling index: index out of range: 9',
  ],
  [
    '{{lt 1 "a"}}',
    'template: :1:2: executing "" at <lt 1 "a">: error calling lt: incompatible types for comparison',
  ],
  [
    "{{upper .N}}",
    'template: :1:8: executing "" at <.N>: wrong type for value; expected string; got int',
  ],
  [
    "{{upper}}",
    'template: :1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 0',
  ],
  ["a\n  {{.P.X}}", 'template: :2:6: executing "" at <.P.X>: nil pointer evaluating *thing.X'],
];
for (const [source, message] of ERRORS) {
  test(`template ${JSON.stringify(source)} fails in Go's words`, () => {
    assert.equal(failure(source), message);
  });
}

test("a key that a map does not hold is an error where that is asked for", () => {
  const message = 'template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"';
  assert.equal(failure("{{.Nope}}", "error"), message);
});

test("a template that calls itself without end is stopped", () => {
  assert.match(
    failure('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}'),
    /maximum template depth/,
  );
});

test("integers beyond 2^53 keep their digits", () => {
  const value = parseJson('{"n":1735689600123456789,"m":1}');
  assert.equal(goJson(value), '{"n":1735689600123456789,"m":1}');
});
