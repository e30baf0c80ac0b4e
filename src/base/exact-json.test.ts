import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExactJson, stringifyExactJson } from "./exact-json.ts";

test("64-bit values of seccomp and rlimits survive a round trip", () => {
  const text =
    '{"args":[{"value":18446744069414584321,"valueTwo":7,"index":0}],"hard":9007199254740993,' +
    '"limit":9223372036854771712}';
  const parsed = parseExactJson(text) as Record<string, unknown>;
  assert.deepEqual(parsed["args"], [{ value: 18446744069414584321n, valueTwo: 7, index: 0 }]);
  assert.equal(parsed["hard"], 9007199254740993n);
  assert.equal(typeof parsed["limit"], "number");
  const again = parseExactJson(stringifyExactJson(parsed)) as Record<string, unknown>;
  assert.deepEqual(again, parsed);
});

test("what is no integer stays a number, and bad JSON an error", () => {
  assert.deepEqual(parseExactJson('{"value":1.5,"soft":1e30,"x":"1234567890123456789"}'), {
    ...{ value: 1.5, soft: 1e30, x: "1234567890123456789" },
  });
  assert.throws(() => parseExactJson('{"value":12345678901234567890'), SyntaxError);
});
