import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonComplaint } from "./json-complaint.ts";

/** [text, what docker 28 said of it] */
const CASES: [string, string | undefined][] = [
  ['{"a":1}', undefined],
  ["{bad", "invalid character 'b' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":tru}', "invalid character '}' in literal true (expecting 'e')"],
  ['{"a":"x\n', "invalid character '\\n' in string literal"],
  ['{"a":[1 2]}', "invalid character '2' after array element"],
  ["nul\n", "invalid character '\\n' in literal null (expecting 'l')"],
  ['{"a":01}', "invalid character '1' after object key:value pair"],
  ['{"psFormat":"x"', "unexpected EOF"],
];
for (const [text, complaint] of CASES) {
  test(`${JSON.stringify(text)} is complained about as docker does`, () => {
    assert.equal(jsonComplaint(text), complaint);
  });
}
