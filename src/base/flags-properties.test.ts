import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatDuration, parseDuration } from "./durations.ts";
import { GantryError } from "./errors.ts";
import { splitCsv } from "./flag-types.ts";
import { defineFlags, parseFlags } from "./flags.ts";
import { parseRamBytes } from "./sizes.ts";

const flags = defineFlags({
  bool: { type: "bool", shorthand: "b" },
  name: { type: "string", shorthand: "n" },
  list: { type: "list", shorthand: "l" },
  count: { type: "int" },
  slice: { type: "stringSlice" },
  wait: { type: "duration" },
  size: { type: "bytes" },
});
const words = fc.array(
  fc.oneof(
    fc.string(),
    fc.constantFrom("-b", "-bn", "--list", "--name=x", "--", "-", "-l=", "--count=1", "--bool=0"),
  ),
);

test("any command line is parsed or refused", () => {
  fc.assert(
    fc.property(words, fc.boolean(), (argv, interspersed) => {
      try {
        parseFlags(flags, argv, { interspersed });
      } catch (error) {
        assert.ok(error instanceof GantryError && error.kind === "invalid", String(error));
      }
    }),
  );
});

test("a value survives each spelling of its flag", () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const spellings = [["--name", value], [`--name=${value}`], ["-n", value], ["-bn", value]];
      for (const argv of spellings) assert.equal(parseFlags(flags, argv).values.name, value);
    }),
  );
});

test("what follows -- is never a flag", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (rest) => {
      assert.deepEqual(parseFlags(flags, ["--", ...rest]).args, rest);
    }),
  );
});

test("durations survive being printed", () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 50), max: 2 ** 50 }), (nanoseconds) => {
      const difference = parseDuration(formatDuration(nanoseconds)) - nanoseconds;
      assert.ok(Math.abs(difference) <= 1);
    }),
  );
});

test("any text is a size or refused, any fields survive CSV", () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string(), { minLength: 1 }), (text, fields) => {
      try {
        assert.ok(parseRamBytes(text) >= 0);
      } catch (error) {
        assert.ok(error instanceof GantryError, String(error));
      }
      const csv = fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(",");
      assert.deepEqual(splitCsv(csv), fields);
    }),
  );
});
