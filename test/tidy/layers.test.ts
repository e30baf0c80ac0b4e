// The folders are the layers, and the table in ARCHITECTURE.md ("## Layers") is the law: this test
// reads that table and every import, and fails on a breach. There is no second copy of the rules.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { root, sources } from "./source-files.ts";

const IMPORT = /(?:^|\n)\s*(?:import|export)\s+(type\b)?[^"';]*?\bfrom\s*"([^"]+)"/g;
const SIDE_EFFECT_OR_DYNAMIC = /(?:^|\n)\s*import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/g;

type Rule = { values: Set<string>; types: Set<string> };

/** Rows `| layer | may import | types only |` of the table; a row may name several layers. */
function readTable(): Map<string, Rule> {
  const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const section = text.split(/^## /m).find((part) => part.startsWith("Layers"));
  assert(section !== undefined, 'ARCHITECTURE.md has no section "## Layers"');
  const rules = new Map<string, Rule>();
  for (const row of section.matchAll(/^\|([^|]+)\|([^|]+)\|([^|]*)\|\s*$/gm)) {
    const [, layers, values, types] = row as unknown as [string, string, string, string];
    if (layers.includes("---") || layers.trim() === "layer") continue;
    for (const layer of names(layers)) {
      rules.set(layer, { values: new Set(names(values)), types: new Set(names(types)) });
    }
  }
  return rules;
}

function names(cell: string): string[] {
  return cell.split(",").flatMap((name) => name.trim().match(/^[a-z]+$/)?.[0] ?? []);
}

type Import = { from: string; typeOnly: boolean };

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  for (const [, typeOnly, from] of text.matchAll(IMPORT)) {
    found.push({ from: from!, typeOnly: typeOnly !== undefined });
  }
  for (const [, plain, dynamic] of text.matchAll(SIDE_EFFECT_OR_DYNAMIC)) {
    found.push({ from: (plain ?? dynamic)!, typeOnly: false });
  }
  return found;
}

/** Each protocol of gen has a door of its own: nobody loads all of them for one. */
function isDoor(layer: string, path: string): boolean {
  return layer === "gen" ? /^[a-z]+\/index\.ts$/.test(path) : path === "index.ts";
}

const rules = readTable();
const files = sources.filter(({ path }) => path.startsWith("src/") && path.endsWith(".ts"));

test("every folder of src has a row in the table of layers", () => {
  const folders = new Set(files.map(({ path }) => path.split("/")[1]!));
  const missing = [...folders].filter((name) => !name.endsWith(".ts") && !rules.has(name));
  assert.deepEqual(missing, []);
});

test("a layer imports only what the table allows it, and that through its door", () => {
  const breaches: string[] = [];
  for (const { path, text } of files) {
    const layer = path.split("/")[1]!;
    if (layer.endsWith(".ts")) continue; // src/index.ts: the door of the package
    const isTest = path.endsWith(".test.ts");
    for (const { from, typeOnly } of importsOf(text)) {
      if (!from.startsWith(".")) continue;
      const target = relative(root, join(root, dirname(path), from));
      const [top, other, ...rest] = target.split("/");
      if (top !== "src") {
        if (!isTest || top !== "test") breaches.push(`${path} imports ${target}, outside src`);
        continue;
      }
      if (other === layer) continue;
      const rule = rules.get(layer);
      const allowed = rule?.values.has(other!) || (typeOnly && rule?.types.has(other!));
      if (!allowed) breaches.push(`${path}: ${layer} may not import ${other} (${from})`);
      else if (!isDoor(other!, rest.join("/")))
        breaches.push(`${path}: not through a door: ${from}`);
    }
  }
  assert.deepEqual(breaches, []);
});
