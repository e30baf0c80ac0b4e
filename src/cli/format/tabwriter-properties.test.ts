import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { alignTabs } from "./tabwriter.ts";

test("aligned columns keep every cell, and begin at one place in all lines", () => {
  const cell = fc.string({ unit: fc.constantFrom("a", "b", "é", "-") });
  const rows = fc.array(fc.tuple(cell, cell, cell), { minLength: 1 });
  fc.assert(
    fc.property(rows, (table) => {
      const lines = alignTabs(table.map((cells) => cells.join("\t")).join("\n")).split("\n");
      const widest = (at: number) => Math.max(10, ...table.map((cells) => cells[at]!.length + 3));
      lines.forEach((line, at) => {
        const [a, b, c] = table[at]!;
        assert.equal(line, a.padEnd(widest(0)) + b.padEnd(widest(1)) + c);
      });
    }),
  );
});
