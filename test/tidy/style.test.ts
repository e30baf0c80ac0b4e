// How our code reads (CONTRIBUTING.md), as far as a program can tell. Function length is Biome's
// rule (biome.json); everything else of the kind is here. Each failure names file and line.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { test } from "node:test";
import { code, paths, sources } from "./source-files.ts";

const FILE_LINES_MAX = 500; // the aim is 400; past that a file wants to be two
const TEST_FILE_LINES_MAX = 700;
const C_FUNCTION_LINES_MAX = 70;
const COLUMNS_MAX = 100;
// Pure data: one entry per line, nothing to split.
const DATA_FILES = /(^src\/native\/operations\.ts|\.gen\.[a-z]+|-table\.ts|-data\.ts|\.json)$/;
const VAGUE =
  /^(utils?|helpers?|managers?|common|misc)(\.|-|$)|-(utils?|helpers?|manager|common)\./;
const NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|gen|d|data))*\.(ts|c|h|sh|css|html)$/;
// Registries are configuration and machines differ: neither belongs in a source.
const FOREIGN = /registry-1\.docker|(?:ghcr|quay|gcr)\.io|registry\.npmjs|\.pkg\.dev|\/work\//;

test(`a file has at most ${FILE_LINES_MAX} lines`, () => {
  const long = code.filter(
    ({ path, lines }) => lines.length > linesMax(path) && !DATA_FILES.test(path),
  );
  assert.deepEqual(
    long.map(({ path, lines }) => `${path}: ${lines.length}`),
    [],
  );
});

test(`a line has at most ${COLUMNS_MAX} columns`, () => {
  const long: string[] = [];
  for (const { path, lines } of code) {
    if (DATA_FILES.test(path)) continue;
    lines.forEach((line, index) => {
      // Code in TypeScript is broken by the formatter, which leaves only strings longer.
      const isFormatted = path.endsWith(".ts") && !/^\s*(\/\/|\/?\*)/.test(line);
      const isLink = /https?:\/\/\S{60,}/.test(line);
      if (isFormatted || isLink) return;
      if ([...line].length > COLUMNS_MAX) long.push(`${path}:${index + 1}`);
    });
  }
  assert.deepEqual(long, []);
});

test(`a function in C has at most ${C_FUNCTION_LINES_MAX} lines`, () => {
  const long: string[] = [];
  for (const { path, lines } of code) {
    if (!/\.[ch]$/.test(path)) continue;
    let start = -1;
    lines.forEach((line, index) => {
      if (/^\w.*\) \{$/.test(line)) start = index;
      if (line !== "}") return;
      if (start >= 0 && index - start > C_FUNCTION_LINES_MAX) long.push(`${path}:${start + 1}`);
      start = -1;
    });
  }
  assert.deepEqual(long, []);
});

test("a file says in its first lines why it exists", () => {
  // A door only lists, a test beside its file speaks of that file, a command is named after itself.
  const isDoor = (path: string) =>
    /(^|\/)index\.ts$|^src\/.*\.test\.ts$|^src\/cli\/commands\/\w+\//.test(path);
  const silent = code.filter(
    ({ path, text }) => !isDoor(path) && !/^(#!.*\n)?(\/\/|\/\*)/.test(text),
  );
  assert.deepEqual(
    silent.map(({ path }) => path),
    [],
  );
});

test("names are kebab-case and say something", () => {
  const bad: string[] = [];
  for (const path of paths) {
    const name = basename(path);
    const isCode = /\.(ts|c|h|sh|css)$/.test(name);
    const vague = path.split("/").some((part) => VAGUE.test(part));
    if (vague || (isCode && !NAME.test(name))) bad.push(path);
  }
  assert.deepEqual(bad, []);
});

test("no source names a registry's host or a path of some machine", () => {
  const bad: string[] = [];
  for (const { path, lines } of sources) {
    if (path.startsWith("test/tidy/")) continue;
    // What "docker.io" in a reference stands for is known in one place.
    const hub = path.startsWith("src/distribution/") ? /registry-1\.docker\.io/g : /^$/g;
    lines.forEach((line, index) => {
      if (FOREIGN.test(line.replaceAll(hub, ""))) bad.push(`${path}:${index + 1}: ${line.trim()}`);
    });
  }
  assert.deepEqual(bad, []);
});

test("a test's name is a sentence", () => {
  const bad: string[] = [];
  for (const { path, text } of code) {
    if (!path.endsWith(".test.ts")) continue;
    for (const [, name] of text.matchAll(/^\s*(?:test|it)\(\s*(?:"([^"]+)"|`[^`]+`)/gm)) {
      if (name !== undefined && name.split(" ").length < 3) bad.push(`${path}: ${name}`);
    }
  }
  assert.deepEqual(bad, []);
});

function linesMax(path: string): number {
  return /^test\/|\.test\.ts$/.test(path) ? TEST_FILE_LINES_MAX : FILE_LINES_MAX;
}
