// The reader of SQLite tables against SQLite's own files, and against those that lead in circles.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import fc from "fast-check";
import { type ReadAt, tableRows } from "./sqlite-table.ts";

const BLOBS = Array.from({ length: 500 }, (_, at) => Buffer.alloc((at * 37) % 9000, `${at} `));

function database(): Buffer {
  const dir = mkdtempSync(join(tmpdir(), "sqlite-table-"));
  try {
    const path = join(dir, "db");
    const made = new DatabaseSync(path);
    made.exec("CREATE TABLE Other (a TEXT UNIQUE)");
    made.exec(
      "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)",
    );
    const insert = made.prepare("INSERT INTO Packages (blob) VALUES (?)");
    for (const blob of BLOBS) insert.run(blob);
    made.close();
    return readFileSync(path);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const FILE = database();
const reading =
  (file: Buffer): ReadAt =>
  async (at, length) =>
    file.subarray(at, at + length);

async function blobsOf(file: Buffer, table = "Packages"): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const [, blob] of tableRows(reading(file), table)) found.push(blob);
  return found;
}

test("the rows of a table come whole and in order, whatever their size", async () => {
  assert.deepEqual(await blobsOf(FILE), BLOBS);
  assert.deepEqual(await blobsOf(FILE, "Missing"), []);
  await assert.rejects(blobsOf(Buffer.from("no database".repeat(100))), /no database/);
});

test("pages that lead in a circle are left, not followed forever", async () => {
  const size = FILE.readUInt16BE(16);
  const file = Buffer.from(FILE);
  let roots = 0;
  for (let page = size; page < file.length; page += size) {
    if (file[page] !== 5) continue;
    roots++;
    file.writeUInt32BE(page / size + 1, page + 8); // its last child is itself
  }
  assert(roots > 0);
  await assert.rejects(blobsOf(file), /in a circle/);
});

test("a file with any bytes changed gives rows or an error, never more", async () => {
  const change = fc.record({ at: fc.nat(FILE.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 20 }), async (changes) => {
      const file = Buffer.from(FILE);
      for (const { at, byte } of changes) file[at % 4096] = byte;
      for (const { at, byte } of changes) file[at] = byte;
      const found = await blobsOf(file).catch(() => []);
      assert(found.length < FILE.length);
    }),
    { numRuns: 50 },
  );
});
