import assert from "node:assert/strict";
import { test } from "node:test";
import { remedyFor } from "./remedies.ts";
import { likely, suggestFlag, suggestWord } from "./suggest.ts";

const VERBS = ["attach", "images", "inspect", "logs", "network", "ps", "rm", "rmi", "run", "start"];

test("a word that is nearly a command is taken for it", () => {
  assert.equal(likely("imagse", VERBS), "images");
  assert.equal(likely("strat", VERBS), "start");
  assert.equal(likely("pss", VERBS), "ps");
  assert.equal(likely("insp", VERBS), "inspect");
  assert.equal(likely("netwrok", VERBS), "network");
});

test("what is near to nothing is taken for nothing", () => {
  for (const word of ["bogus", "xyz", "compose", "q", ""]) {
    assert.equal(likely(word, VERBS), undefined, word);
  }
});

test("suggestions stand in cobra's words, and only where there is one", () => {
  assert.equal(suggestWord("imagse", VERBS), "\nDid you mean this?\n\timages\n");
  assert.equal(suggestWord("bogus", VERBS), "");
  const flags = { name: { type: "string" }, secretly: { type: "bool", hidden: true } } as const;
  assert.equal(suggestFlag("unknown flag: --nmae", flags), "\nDid you mean this?\n\t--name\n");
  assert.equal(suggestFlag("unknown flag: --secretl", flags), "");
  assert.equal(suggestFlag("unknown shorthand flag: 'n' in -n", flags), "");
});

test("an error that people meet often has a remedy, others have none", () => {
  assert.match(remedyFor("container abc is not running") ?? "", /gantry start abc/);
  assert.match(remedyFor("toomanyrequests: slow down") ?? "", /registry-mirrors/);
  assert.equal(remedyFor("something else"), undefined);
});
