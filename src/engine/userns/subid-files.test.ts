import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRanges } from "./pool.ts";
import { userOf } from "./remap.ts";
import { parseSubordinate, rangesOf } from "./subid-files.ts";

test("subordinate ids: by name and by number, several ranges, nonsense left out", () => {
  const text =
    "# people\nann:100000:65536\n\nbob:200000:10\n 1001:300000:5 \nann:400000:7\nann:1\n" +
    "ann:x:5\nann:5:0\nann:4294967000:1000\n:5:5\nann";
  const all = parseSubordinate(text);
  assert.equal(all.length, 4);
  assert.deepEqual(rangesOf(all, { name: "ann", id: 1000 }), [
    { start: 100_000, size: 65_536 },
    { start: 400_000, size: 7 },
  ]);
  assert.deepEqual(rangesOf(all, { name: "cyd", id: 1001 }), [{ start: 300_000, size: 5 }]);
  assert.deepEqual(rangesOf(all, { name: "nobody" }), []);
});

test("whose ids they are is read as dockerd reads it, with its words where it is wrong", () => {
  const users = [
    { name: "ann", id: 1000 },
    { name: "root", id: 0 },
  ];
  const groups = [
    { name: "staff", id: 50 },
    { name: "ann", id: 1000 },
  ];
  const who = (text: string) => userOf(text, users, groups).name;
  for (const text of ["ann", "1000", "ann:staff", "1000:50", "ann:50"]) {
    assert.equal(who(text), "ann", text);
  }
  assert.deepEqual(userOf("default", users, groups), { name: "dockremap" });
  const refused: [string, string][] = [
    [
      "nosuch",
      'Error during uid lookup for "nosuch": getent unable to find entry "nosuch" in passwd database',
    ],
    [
      "4242",
      'Uid 4242 has no entry in /etc/passwd: getent unable to find entry "4242" in passwd database',
    ],
    [
      "ann:nosuch",
      'Error during groupname lookup for "nosuch": getent unable to find entry "nosuch" in group database',
    ],
    [
      "root",
      'Error during gid lookup for "root": getent unable to find entry "root" in group database',
    ],
    ["a:b:c", 'Invalid user/group specification in --userns-remap: "a:b:c"'],
  ];
  for (const [text, message] of refused) {
    assert.throws(() => who(text), { kind: "invalid", message }, text);
  }
});

test("a pool is ranges in any order, and never begins at root", () => {
  assert.deepEqual(parseRanges("5000:10, 100:7"), [
    { start: 100, size: 7 },
    { start: 5000, size: 10 },
  ]);
  for (const text of ["0:100", "1:0", "1", "1:4294967295", "1:2:3", "a:5", "5:5,"]) {
    assert.throws(() => parseRanges(text), /invalid userns-pool/, text);
  }
});
