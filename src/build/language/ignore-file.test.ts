import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GantryError } from "../../base/index.ts";
import { IgnoreMatcher, readIgnoreFile } from "./ignore-file.ts";
import { compilePattern } from "./ignore-pattern.ts";

function matcher(...lines: string[]): IgnoreMatcher {
  return new IgnoreMatcher(readIgnoreFile(lines.join("\n")));
}

function ignored(lines: string[], paths: string[]): string[] {
  const rules = matcher(...lines);
  return paths.filter((path) => rules.ignores(path));
}

test("lines are cleaned: comments, blanks, slashes, dots and marks", () => {
  const rules = readIgnoreFile(
    "\ufeff# comment\r\n\r\n /a/ \r\n  # no comment\n! b//c/./d/../e \n./f\n/\n../g\n",
  );
  assert.deepEqual(
    rules.map(({ pattern, negated, line }) => [pattern, negated, line]),
    [
      ["a", false, 3],
      ["# no comment", false, 4],
      ["b/c/e", true, 5],
      ["f", false, 6],
      ["/", false, 7],
      ["../g", false, 8],
    ],
  );
  assert.throws(() => readIgnoreFile("a\n!\n"), { message: 'illegal exclusion pattern: "!"' });
});

test("a pattern fits a path or a folder of it, seen from the root", () => {
  const paths = ["a", "a/b", "x/a", "ab", "a.b"];
  assert.deepEqual(ignored(["a"], paths), ["a", "a/b"]);
  assert.deepEqual(ignored(["/a/"], paths), ["a", "a/b"]);
  assert.deepEqual(ignored(["*/a"], paths), ["x/a"]);
  assert.deepEqual(ignored(["?"], paths), ["a", "a/b", "x/a"]);
  assert.deepEqual(ignored(["a?b"], paths), ["a.b"]);
  assert.deepEqual(ignored(["a.b"], paths), ["a.b"]);
});

test("stars stay in their folder, double ones do not", () => {
  const paths = ["x.log", "a/x.log", "a/b/x.log", "a/b/c", "log/a", "a/log/b"];
  assert.deepEqual(ignored(["*.log"], paths), ["x.log"]);
  assert.deepEqual(ignored(["**/*.log"], paths), ["x.log", "a/x.log", "a/b/x.log"]);
  assert.deepEqual(ignored(["a/**"], paths), ["a/x.log", "a/b/x.log", "a/b/c", "a/log/b"]);
  assert.deepEqual(ignored(["a/**/x.log"], paths), ["a/x.log", "a/b/x.log"]);
  assert.deepEqual(ignored(["**/log"], paths), ["log/a", "a/log/b"]);
  assert.deepEqual(ignored(["**"], paths), paths);
  assert.deepEqual(ignored(["*/*/*"], paths), ["a/b/x.log", "a/b/c", "a/log/b"]);
});

test("classes and escapes are read as Go's filepath.Match reads them", () => {
  const paths = ["a1", "ab", "a-", "*x", "a]", "a\\b"];
  assert.deepEqual(ignored(["a[0-9]"], paths), ["a1"]);
  assert.deepEqual(ignored(["a[^0-9]"], paths), ["ab", "a-", "a]"]);
  assert.deepEqual(ignored(["\\*x"], paths), ["*x"]);
  assert.deepEqual(ignored(["a[\\]]"], paths), ["a]"]);
  assert.throws(() => matcher("ok", "a[b"), { message: /line 2: syntax error in pattern "a\[b"/ });
  assert.throws(() => matcher("a\\"), { message: /syntax error in pattern/ });
  assert.throws(() => matcher("[z-a]"), { message: /syntax error in pattern/ });
});

test("the last pattern that fits decides", () => {
  const paths = ["a.md", "README.md", "README-secret.md", "d/x", "d/keep/x"];
  assert.deepEqual(ignored(["*.md", "!README*.md", "README-secret.md"], paths), [
    "a.md",
    "README-secret.md",
  ]);
  assert.deepEqual(ignored(["d", "!d/keep"], paths), ["d/x"]);
  assert.deepEqual(ignored(["!d/keep", "d"], paths), ["d/x", "d/keep/x"]);
});

test("a folder is pruned only when nothing below it can be taken back", () => {
  const prune = (lines: string[], name: string) => {
    const rules = matcher(...lines);
    const { ignored: isIgnored, prune: isPruned } = rules.enter(rules.root, name);
    return [isIgnored, isPruned];
  };
  assert.deepEqual(prune(["node_modules"], "node_modules"), [true, true]);
  assert.deepEqual(prune(["node_modules"], "src"), [false, false]);
  assert.deepEqual(prune(["build", "!build/out"], "build"), [true, false]);
  assert.deepEqual(prune(["!build/out", "build"], "build"), [true, true]);
  assert.deepEqual(prune(["build", "!other/x"], "build"), [true, true]);
  assert.deepEqual(prune(["build", "!*/x"], "build"), [true, false]);
  assert.deepEqual(prune(["build", "!**/x"], "build"), [true, false]);
  assert.deepEqual(prune(["*", "!src"], "docs"), [true, true]);
});

test("the quick ways and the state machine agree", () => {
  const part = fc.constantFrom("a", "b", "/", "*", "?", "**/", "[ab]", ".");
  const pattern = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""));
  const path = fc.stringMatching(/^[ab.]{1,2}(?:\/[ab.]{1,2}){0,3}$/);
  fc.assert(
    fc.property(pattern, path, (text, given) => {
      const quick = compilePattern(text, false);
      // Three more stars make the pattern too rich for an expression; what they take is added.
      const slow = compilePattern(`${text}|*|*|*`, false);
      const isMatch = quick.matches(given);
      if (!text.endsWith("*") && !text.endsWith("**/")) {
        assert.equal(slow.matches(`${given}|||`), isMatch);
      }
      const folders = given.split("/").slice(0, -1);
      for (const [index] of isMatch ? folders.entries() : []) {
        assert(quick.mayMatchBelow(folders.slice(0, index + 1).join("/")));
      }
    }),
  );
});

test("a walk and single questions give the same verdicts, pruned folders included", () => {
  const name = fc.constantFrom("a", "b", "ab");
  const line = fc
    .tuple(
      fc.boolean(),
      fc.array(fc.oneof(name, fc.constantFrom("*", "**", "?")), { minLength: 1, maxLength: 3 }),
    )
    .map(([negated, parts]) => (negated ? "!" : "") + parts.join("/"));
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 5 }),
      fc.array(name, { minLength: 2, maxLength: 4 }),
      (lines, path) => {
        const rules = matcher(...lines);
        let folder = rules.root;
        let isPruned = false;
        for (const part of path.slice(0, -1)) {
          const verdict = rules.enter(folder, part);
          isPruned ||= verdict.prune;
          folder = verdict.folder;
        }
        const isIgnored = rules.ignores(path.join("/"));
        assert.equal(rules.ignoresFile(folder, path.at(-1)!), isIgnored);
        if (isPruned) assert(isIgnored);
      },
    ),
  );
});

test("hostile patterns are matched in proportion to their length", () => {
  const rules = matcher(`${"*a".repeat(100)}*b`, `${"**/a/".repeat(60)}b`, `${"?*".repeat(60)}x`);
  assert.equal(rules.ignores("a".repeat(800)), false);
  assert.equal(rules.ignores(`${"a/".repeat(300)}c`), false);
});

test("whatever the file holds, it is read or refused with its line", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(..."ab*?[]!\\/.# -^\n")), (chars) => {
      try {
        matcher(chars.join("")).ignores("a/b/c");
      } catch (error) {
        assert(error instanceof GantryError);
        assert.equal(typeof error.detail["line"], "number");
      }
    }),
  );
});
