import assert from "node:assert/strict";
import { test } from "node:test";
import { type Explained, explainText } from "./text.ts";

const explained = (more: Partial<Explained> = {}): Explained => ({
  about: { state: "running", id: "0123456789abcdef", name: "web", image: "alpine", pid: 7 },
  warnings: [],
  sections: [
    {
      id: "cgroups",
      title: "Limits",
      lines: [
        { what: "pids.max", says: "40", mark: "same" },
        { what: "memory.max", says: "100", mark: "differs", live: "200" },
        { what: "long", says: "one two three four five six seven eight nine ten" },
      ],
    },
  ],
  facts: {},
  operations: [{ half: "host", index: 0, name: "clone", number: 50, says: "flags=0" }],
  ...more,
});

test("sections are numbered, differences marked with what is there now, and counted", () => {
  const text = explainText(explained(), { columns: 50 });
  assert.equal(
    text,
    [
      "web (0123456789ab) of alpine is running, process 7.",
      "",
      "1. Limits",
      " = pids.max    40",
      " ! memory.max  100",
      "               now: 200",
      "   long        one two three four five six seven",
      "               eight nine ten",
      "",
      "1 thing differs from what was asked for: memory.max",
    ].join("\n"),
  );
});

test("a plan says that nothing has been done, and verbose lists the operations", () => {
  const about = { state: "planned", name: "x", image: "alpine" };
  const text = explainText(explained({ about }), { verbose: true });
  assert.match(text, /^A run of alpine would do this; nothing has been done\.\n/);
  assert.match(text, /\n {3}0 {2}clone \(50\) {2}flags=0$/);
});

test("nothing from a container moves the cursor", () => {
  const lines = [{ what: "a\x1b[2J", says: "b\x07\nc" }];
  const text = explainText(explained({ sections: [{ id: "x", title: "X", lines }] }));
  assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f]/);
});
